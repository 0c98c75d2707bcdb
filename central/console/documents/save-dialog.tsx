import { Checkbox, Radio, Select, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import { environmentOrder } from "../../change/environments.ts";
import { ApiError } from "../api/client.ts";
import { type SourceFile, useChange, useChanges, useCreateChange, useEditChange } from "../api/configuration.ts";
import { useMe } from "../api/session.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { plural } from "../parts/time.ts";
import { others, replaced } from "./others.ts";

interface SaveDialogProps {
  readonly opened: boolean;
  readonly files: readonly SourceFile[];
  /** How they were when the writing began. */
  readonly base: readonly SourceFile[];
  readonly change: number | null;
  readonly environment: string;
  /** The document that is edited; in its change it is replaced, also under another name. */
  readonly origin: string | null;
  /** A draft may hold some; a review may not. */
  readonly problems: number;
  readonly onClose: () => void;
  readonly onSaved: (change: number) => void;
}

/** A document is never saved by itself: it goes into a change that is still a draft, a new one or one's own. */
export function SaveDialog({ opened, onClose, ...rest }: SaveDialogProps) {
  return (
    <Dialog title="Save into a change" opened={opened} onClose={onClose} size={600}>
      {opened && <SaveForm {...rest} onClose={onClose} />}
    </Dialog>
  );
}

function SaveForm({
  files,
  base,
  change,
  origin,
  environment: judgedFor,
  problems,
  onClose,
  onSaved,
}: Omit<SaveDialogProps, "opened">) {
  const me = useMe();
  const { data } = useChanges();
  const drafts = (data?.answer.changes ?? []).filter(({ state, author }) => state === "draft" && author === me.user);
  const [into, setInto] = useState<string>(change === null ? "new" : String(change));
  const [title, setTitle] = useState("");
  const [description, setDescription] = useState("");
  const [environment, setEnvironment] = useState(judgedFor === "" ? "dev" : judgedFor);
  const [expedited, setExpedited] = useState(false);
  const create = useCreateChange();
  const edit = useEditChange();
  const existing = useChange(into === "new" ? 0 : Number(into), into !== "new");
  const isNew = into === "new";
  const held = isNew ? undefined : existing.data?.answer;
  const ownOrigin = held?.number === change ? origin : null;
  const overwritten = held ? replaced(held, files, base, ownOrigin) : [];
  const [agreed, setAgreed] = useState(false);
  const error = create.error ?? edit.error;
  const submit = () => {
    if (isNew) {
      create.mutate(
        { title, description, environment, expedited, files: [...files] },
        { onSuccess: ({ number }) => onSaved(number) },
      );
      return;
    }
    if (!held) return;
    edit.mutate(
      {
        number: held.number,
        version: held.version,
        files: [...others(held, files, ownOrigin), ...files],
      },
      { onSuccess: () => onSaved(held.number) },
    );
  };
  return (
    <DialogForm
      act="Save"
      doing="save"
      busy={create.isPending || edit.isPending}
      error={error && toReadable(error)}
      disabled={!isNew && (!held || (overwritten.length > 0 && !agreed))}
      onSubmit={submit}
      onCancel={onClose}
    >
      <Radio.Group label="Into" value={into} onChange={setInto}>
        <div className="choices">
          <Radio value="new" label="A new change" data-autofocus={isNew || undefined} />
          {drafts.map(({ number, title: named, environment: there }) => (
            <Radio key={number} value={String(number)} label={`Change ${number}: ${named} (${there})`} />
          ))}
          {change !== null && !drafts.some(({ number }) => number === change) && (
            <Radio value={String(change)} label={`Change ${change}`} />
          )}
        </div>
      </Radio.Group>
      {isNew && (
        <>
          <TextInput
            label="Title"
            placeholder="What changes, in one line"
            required
            maxLength={200}
            value={title}
            onChange={(event) => setTitle(event.currentTarget.value)}
          />
          <Textarea
            label="Why"
            description="For the one who reviews it, and for the record"
            autosize
            minRows={2}
            value={description}
            onChange={(event) => setDescription(event.currentTarget.value)}
          />
          <Select
            label="Environment"
            data={environmentOrder}
            value={environment}
            allowDeselect={false}
            onChange={(value) => setEnvironment(value ?? "dev")}
          />
          <Checkbox
            label="Expedited: no waves and no run in test before; two people, and a third looks at it afterwards"
            checked={expedited}
            onChange={(event) => setExpedited(event.currentTarget.checked)}
          />
        </>
      )}
      {overwritten.length > 0 && (
        <Checkbox
          label={`The draft holds ${overwritten.join(", ")} with another text, written elsewhere meanwhile. Put mine in its place`}
          checked={agreed}
          onChange={(event) => setAgreed(event.currentTarget.checked)}
        />
      )}
      {problems > 0 && (
        <p className="warning-line">
          {plural(problems, "problem")} in the text. A draft may hold them; it can be submitted once they are gone.
        </p>
      )}
    </DialogForm>
  );
}

function toReadable(error: Error): Error {
  if (error instanceof ApiError && error.status === 409) {
    return new Error(`${error.message}. Look at the change in another tab, and save again`);
  }
  return error;
}
