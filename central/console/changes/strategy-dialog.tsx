import { NumberInput, Select, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import type { ChangeView, RolloutStrategy } from "../../http/api/changes.ts";
import { useEditChange } from "../api/configuration.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { useOwnEdit } from "./read-context.ts";
import { parseWaves, wavesToText } from "./waves-text.ts";

/** How the change reaches its sites; while it is a draft. */
export function StrategyDialog({ change, onClose }: { readonly change: ChangeView; readonly onClose: () => void }) {
  const [strategy, setStrategy] = useState(change.strategy);
  const [waves, setWaves] = useState(wavesToText(change.strategy.waves));
  // as it was when the dialog opened: an edit of somebody else's in between is not overwritten
  const [{ number, version }] = useState(change);
  const edit = useEditChange();
  const ownEdit = useOwnEdit();
  const done = ({ digest }: ChangeView) => {
    ownEdit(digest);
    onClose();
  };
  const parsed = parseWaves(waves);
  const { gate, unreachable } = strategy;
  const setGate = (changes: Partial<RolloutStrategy["gate"]>) => setStrategy({ ...strategy, gate: { ...gate, ...changes } });
  const submit = () => {
    if ("problem" in parsed) return;
    edit.mutate({ number, version, strategy: { ...strategy, waves: parsed.waves } }, { onSuccess: done });
  };
  return (
    <Dialog title="How it is rolled out" opened onClose={onClose} size={600}>
      <DialogForm
        act="Save"
        doing="save"
        busy={edit.isPending}
        error={edit.error}
        disabled={"problem" in parsed}
        onCancel={onClose}
        onSubmit={submit}
      >
        <Textarea
          label="Waves"
          description="A line each: 1, 10 %, all, or names of sites. What none names comes last."
          autosize
          minRows={3}
          data-autofocus
          error={"problem" in parsed ? parsed.problem : null}
          value={waves}
          onChange={(event) => setWaves(event.currentTarget.value)}
        />
        <div className="fields">
          <TextInput
            label="A wave holds for"
            description="All of it healthy: 30s, 10m"
            value={gate.window}
            onChange={(event) => setGate({ window: event.currentTarget.value })}
          />
          <TextInput
            label="A site has time for"
            description="Until it runs the revision"
            value={gate.settle}
            onChange={(event) => setGate({ settle: event.currentTarget.value })}
          />
          <NumberInput
            label="New dead letters"
            description="At most, of a site"
            min={0}
            value={gate.maxDeadLetters}
            onChange={(value) => setGate({ maxDeadLetters: Number(value) || 0 })}
          />
          <TextInput
            label="Lag"
            description="At most"
            value={gate.maxLag}
            onChange={(event) => setGate({ maxLag: event.currentTarget.value })}
          />
          <NumberInput
            label="Restarts"
            description="At most, of a site"
            min={0}
            value={gate.maxRestarts}
            onChange={(value) => setGate({ maxRestarts: Number(value) || 0 })}
          />
          <NumberInput
            label="Sites that may fail"
            description="Before all are put back"
            min={0}
            value={strategy.maxFailures}
            onChange={(value) => setStrategy({ ...strategy, maxFailures: Number(value) || 0 })}
          />
          <TextInput
            label="Out of reach for"
            description="Then it goes on or pauses"
            value={unreachable.after}
            onChange={(event) => setStrategy({ ...strategy, unreachable: { ...unreachable, after: event.currentTarget.value } })}
          />
          <Select
            label="Then"
            description="The site gets it later"
            allowDeselect={false}
            data={[
              { value: "continue", label: "go on without it" },
              { value: "pause", label: "pause" },
            ]}
            value={unreachable.then}
            onChange={(value) => {
              const word = value === "pause" ? "pause" : "continue";
              // biome-ignore lint/suspicious/noThenProperty: a word of the configuration language, never a function
              setStrategy({ ...strategy, unreachable: { ...unreachable, then: word } });
            }}
          />
          <Select
            label="It begins"
            allowDeselect={false}
            data={[
              { value: "auto", label: "as soon as it is approved" },
              { value: "manual", label: "when a person starts it" },
            ]}
            value={strategy.start}
            onChange={(value) => setStrategy({ ...strategy, start: value === "manual" ? "manual" : "auto" })}
          />
        </div>
      </DialogForm>
    </Dialog>
  );
}
