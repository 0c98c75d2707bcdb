import { Button, Modal } from "@mantine/core";
import type { FormEvent, ReactNode } from "react";
import { Failure } from "./failure.tsx";

interface DialogProps {
  readonly title: string;
  readonly opened: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly size?: string | number;
}

/** Escape closes, focus stays inside and returns to what opened it (Mantine's Modal). */
export function Dialog({ title, opened, onClose, children, size = 520 }: DialogProps) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      size={size}
      closeButtonProps={{ "aria-label": "Close the dialog" }}
      transitionProps={{ duration: 0 }}
    >
      {children}
    </Modal>
  );
}

interface FormProps {
  readonly children: ReactNode;
  /** What the button says: "Approve". */
  readonly act: string;
  /** What is done, for a sentence: "approve the change". */
  readonly doing: string;
  readonly busy: boolean;
  readonly error: Error | null;
  readonly onSubmit: () => void;
  readonly onCancel?: () => void;
  readonly danger?: boolean;
  readonly disabled?: boolean;
}

/** A question with one answer: fields, why it did not work, the two buttons. */
export function DialogForm({ children, act, doing, busy, error, onSubmit, onCancel, danger, disabled }: FormProps) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy && disabled !== true) onSubmit();
  };
  return (
    <form className="dialog-form" onSubmit={submit}>
      {children}
      <Failure error={error} doing={doing} />
      <div className="dialog-buttons">
        {onCancel && (
          <Button variant="default" onClick={onCancel}>
            Cancel
          </Button>
        )}
        <Button type="submit" loading={busy} disabled={disabled} color={danger ? "red" : undefined}>
          {act}
        </Button>
      </div>
    </form>
  );
}
