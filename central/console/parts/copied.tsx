import { Button, CopyButton } from "@mantine/core";
import { Icon } from "./icon.tsx";

/** A text that is to be taken along, with a button that does it. */
export function Copied({ text, what }: { readonly text: string; readonly what: string }) {
  return (
    <fieldset className="copied" aria-label={what}>
      <code className="copied-text">{text}</code>
      <CopyButton value={text} timeout={4000}>
        {({ copied, copy }) => (
          <Button size="xs" variant="default" leftSection={<Icon name={copied ? "check" : "copy"} size={13} />} onClick={copy}>
            {copied ? "Copied" : "Copy"}
          </Button>
        )}
      </CopyButton>
    </fieldset>
  );
}
