import type { ChangeView } from "../../http/api/changes.ts";
import { useEditChange } from "../api/configuration.ts";
import { others } from "../documents/others.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { useOwnEdit } from "./read-context.ts";

interface DropDialogProps {
  readonly change: ChangeView;
  readonly kind: string;
  readonly name: string;
  readonly onClose: () => void;
}

/** Takes a document out of a draft; its revisions stay. */
export function DropDialog({ change, kind, name, onClose }: DropDialogProps) {
  const edit = useEditChange();
  const ownEdit = useOwnEdit();
  const done = ({ digest }: ChangeView) => {
    ownEdit(digest);
    onClose();
  };
  const dropped = `${kind}/${name}`;
  const removes = change.documents
    .filter((document) => document.revision === 0 && `${document.kind}/${document.name}` !== dropped)
    .map((document) => ({ kind: document.kind, name: document.name }));
  return (
    <Dialog title={`Take ${kind} ${name} out of the change`} opened onClose={onClose}>
      <DialogForm
        act="Take it out"
        doing="take it out"
        danger
        busy={edit.isPending}
        error={edit.error}
        onCancel={onClose}
        onSubmit={() =>
          edit.mutate(
            { number: change.number, version: change.version, files: others(change, [], dropped), removes },
            { onSuccess: done },
          )
        }
      >
        <p>The change goes on without it. What is in force stays as it is.</p>
      </DialogForm>
    </Dialog>
  );
}
