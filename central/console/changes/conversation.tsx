import { Button, Textarea } from "@mantine/core";
import { type FormEvent, useState } from "react";
import type { ChangeView } from "../../http/api/changes.ts";
import { useComment } from "../api/configuration.ts";
import { Failure } from "../parts/failure.tsx";
import { When } from "../parts/when.tsx";
import { eventWords } from "./looks.ts";

/** What was done and said, in order, and a place to say something. */
export function Conversation({ change }: { readonly change: ChangeView }) {
  return (
    <div className="conversation">
      <ol className="events">
        {change.events.map((event) => (
          <li key={event.number} data-kind={event.kind}>
            <p>
              <b>{event.actor === "" ? "central" : event.actor}</b> {eventWords[event.kind] ?? event.kind}{" "}
              <span className="tiny">
                <When at={event.at} />
              </span>
            </p>
            {event.text !== "" && <p className="said">{event.text}</p>}
          </li>
        ))}
      </ol>
      <CommentForm change={change} />
    </div>
  );
}

function CommentForm({ change }: { readonly change: ChangeView }) {
  const [text, setText] = useState("");
  const comment = useComment(change.number);
  const may = change.may.comment;
  if (may && !may.allowed) return <p className="quiet">{may.reason}</p>;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() !== "") comment.mutate(text.trim(), { onSuccess: () => setText("") });
  };
  return (
    <form className="dialog-form" onSubmit={submit}>
      <Textarea
        label="Comment"
        autosize
        minRows={2}
        maxLength={20_000}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <Failure error={comment.error} doing="comment" />
      <div className="dialog-buttons">
        <Button type="submit" variant="default" loading={comment.isPending} disabled={text.trim() === ""}>
          Comment
        </Button>
      </div>
    </form>
  );
}
