import { Checkbox, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import type { ChangeView } from "../../http/api/changes.ts";
import { useEditChange } from "../api/configuration.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { useOwnEdit } from "./read-context.ts";

/** What a draft is called and why it is there. */
export function TitleDialog({ change, onClose }: { readonly change: ChangeView; readonly onClose: () => void }) {
  const [title, setTitle] = useState(change.title);
  const [description, setDescription] = useState(change.description);
  const [expedited, setExpedited] = useState(change.expedited);
  // as it was when the dialog opened: an edit of somebody else's in between is not overwritten
  const [{ number, version }] = useState(change);
  const edit = useEditChange();
  const ownEdit = useOwnEdit();
  const done = ({ digest }: ChangeView) => {
    ownEdit(digest);
    onClose();
  };
  return (
    <Dialog title="Title and reason" opened onClose={onClose} size={600}>
      <DialogForm
        act="Save"
        doing="save"
        busy={edit.isPending}
        error={edit.error}
        onCancel={onClose}
        onSubmit={() => edit.mutate({ number, version, title, description, expedited }, { onSuccess: done })}
      >
        <TextInput
          label="Title"
          required
          data-autofocus
          maxLength={200}
          value={title}
          onChange={(event) => setTitle(event.currentTarget.value)}
        />
        <Textarea
          label="Why"
          autosize
          minRows={3}
          maxLength={20_000}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        <Checkbox
          label="Expedited: no waves and no run in test before; two people, and a third looks at it afterwards"
          checked={expedited}
          onChange={(event) => setExpedited(event.currentTarget.checked)}
        />
      </DialogForm>
    </Dialog>
  );
}
