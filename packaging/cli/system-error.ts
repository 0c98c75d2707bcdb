const sentences: Readonly<Record<string, string>> = {
  ENOENT: "is not there",
  ENOTDIR: "lies below something that is no folder",
  EISDIR: "is a folder, not a file",
  EEXIST: "is there already",
  EACCES: "is closed to this user: run this as root, or as the user whose it is",
  EPERM: "is closed to this user: run this as root, or as the user whose it is",
  EROFS: "lies on a disk that is only to be read",
  ENOSPC: "lies on a disk that is full",
};

/** What the system refused to do with a file, as a sentence; undefined: something else went wrong. */
export function systemErrorSentence(error: unknown): string | undefined {
  const { code, path } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined || path === undefined) return undefined;
  const sentence = sentences[code];
  return sentence && `${path} ${sentence}`;
}
