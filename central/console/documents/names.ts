/** What documents a YAML text holds, told from its lines alone: enough to know which one of a change it takes the place of. Central decides. */
export function documentsIn(text: string): string[] {
  return text.split(/^---(?:[ \t].*)?$/m).flatMap((part) => {
    const kind = /^kind:[ \t]*["']?(\w+)/m.exec(part)?.[1];
    const name = nameIn(part);
    return kind !== undefined && name !== undefined ? [`${kind}/${name}`] : [];
  });
}

function nameIn(part: string): string | undefined {
  const head = /^metadata:[ \t]*(?:#.*)?(.*(?:\n(?:[ \t]+.*|[ \t]*#.*|[ \t]*)$)*)/m.exec(part)?.[1] ?? "";
  return /(?:^|[{,\n])[ \t]*name:[ \t]*["']?([A-Za-z0-9][\w.-]*)/.exec(head)?.[1];
}
