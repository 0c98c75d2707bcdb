import { Button } from "@mantine/core";
import { useId } from "react";

interface ActButtonProps {
  readonly word: string;
  readonly allowed: boolean;
  /** Why not; stands beside the button as text. */
  readonly reason?: string;
  readonly onPress: () => void;
  readonly prominent?: boolean;
  readonly danger?: boolean;
}

/** What one may not do stays in sight and in the focus order, with the reason beneath it: nobody has to guess from a grey button. */
export function ActButton({ word, allowed, reason, onPress, prominent, danger }: ActButtonProps) {
  const id = useId();
  return (
    <div className="act">
      <Button
        fullWidth
        variant={prominent && allowed ? "filled" : "default"}
        color={danger ? "red" : undefined}
        data-disabled={!allowed || undefined}
        aria-disabled={!allowed || undefined}
        aria-describedby={allowed || !reason ? undefined : id}
        onClick={(event) => (allowed ? onPress() : event.preventDefault())}
      >
        {word}
      </Button>
      {!allowed && reason && (
        <p id={id} className="tiny act-reason">
          {reason}
        </p>
      )}
    </div>
  );
}
