import { Button, CopyButton, Drawer } from "@mantine/core";
import type { OrderMessage } from "../../http/views.ts";
import { Icon } from "../parts/icon.tsx";
import { describeInstant, formatDelta, formatTime } from "../parts/time.ts";
import { kindWords } from "./hop-kind.ts";
import { Json } from "./json.tsx";
import { threadStyle, typeWords } from "./message-type.ts";

/** All of one message, beside the timeline, which stays usable: its way, its data, where it stands for ever. */
export function MessagePanel({ message, onClose }: { readonly message: OrderMessage | undefined; readonly onClose: () => void }) {
  return (
    <Drawer
      opened={message !== undefined}
      onClose={onClose}
      position="right"
      size={480}
      withOverlay={false}
      lockScroll={false}
      trapFocus={false}
      classNames={{ inner: "panel-place", content: "panel-frame" }}
      shadow="none"
      closeOnClickOutside={false}
      closeButtonProps={{ "aria-label": "Close the message" }}
      title={
        message && (
          <span className="panel-title" style={threadStyle(message.type)}>
            <span className="panel-mark" aria-hidden="true" />
            {typeWords(message.type)}
          </span>
        )
      }
    >
      {message && <Content message={message} />}
    </Drawer>
  );
}

function Content({ message }: { readonly message: OrderMessage }) {
  const envelope: readonly (readonly [string, string])[] = [
    ["id", message.id],
    ["type", message.type],
    ["site", message.site],
    ["lane", message.lane],
    ["epoch", message.epoch],
    ["sequence", String(message.sequence)],
    ["time", message.time],
    ["recordedtime", message.recordedtime],
  ];
  return (
    <div className="panel" style={threadStyle(message.type)}>
      <p className="panel-summary">{message.summary}</p>
      <h3>Its way</h3>
      <ol className="panel-hops">
        {message.hops.map((hop, index) => {
          const before = message.hops[index - 1];
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: hops only ever join at the end
            <li key={index} data-kind={hop.kind}>
              <time className="row-time" dateTime={hop.at} title={describeInstant(hop.at)}>
                {formatTime(hop.at)}
              </time>
              <span className="row-delta num">{before ? formatDelta(Date.parse(hop.at) - Date.parse(before.at)) : ""}</span>
              <span>
                {hop.what}
                <span className="tiny">
                  {" "}
                  {kindWords[hop.kind]} · {hop.site === hop.place ? hop.site : `${hop.site} / ${hop.place}`}
                </span>
              </span>
            </li>
          );
        })}
      </ol>
      <div className="panel-head">
        <h3>Data</h3>
        <CopyButton value={JSON.stringify(message.data, null, 2)}>
          {({ copied, copy }) => (
            <Button
              size="compact-xs"
              variant="default"
              leftSection={<Icon name={copied ? "check" : "copy"} size={13} />}
              onClick={copy}
            >
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
      </div>
      <Json value={message.data} label="Data of the message" />
      <h3>Envelope</h3>
      <dl className="envelope">
        {envelope.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
