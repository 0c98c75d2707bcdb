import { SegmentedControl, Skeleton } from "@mantine/core";
import { type ReactNode, useCallback, useMemo, useState } from "react";
import type { OrderMessage, OrderView } from "../../http/views.ts";
import { ApiError } from "../api/client.ts";
import { useOrder, useOrders } from "../api/queries.ts";
import { Freshness, freshMs } from "../parts/freshness.tsx";
import { FailureNotice, Notice } from "../parts/notice.tsx";
import { useNow } from "../parts/now.ts";
import { Fact, Page } from "../parts/page.tsx";
import { formatAge, formatDelta, formatTime, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { MessagePanel } from "./message-panel.tsx";
import { OrderList } from "./order-list.tsx";
import { Timeline } from "./timeline.tsx";
import type { Density } from "./timeline-layout.ts";
import { TypeFilter } from "./type-filter.tsx";

// How a delivery ended is a step of the message that was delivered; the report of it is there to be asked for.
const shownAsSteps: ReadonlySet<string> = new Set(["mfg.delivery.completed.v1"]);

/** Up to this many messages each hop gets a line of its own, unless a person chooses. */
const stepsUpTo = 12;

export function OrderPage({ id }: { readonly id: string }) {
  const now = useNow();
  const { data, error } = useOrder(id);
  useTitle(data?.answer.orderName ?? id);
  const status = error instanceof ApiError ? error.status : undefined;
  if (status === 404)
    return (
      <Page>
        <UnknownOrder id={id} />
      </Page>
    );
  if (error && !data)
    return (
      <Page>
        <FailureNotice error={error} alone />
      </Page>
    );
  if (!data) {
    return (
      <Page>
        <div role="status" aria-label={`Loading order ${id}`} className="loading">
          <Skeleton height={84} radius="md" />
          <Skeleton height={420} radius="md" />
        </div>
      </Page>
    );
  }
  const ageMs = Math.max(0, now - data.receivedAtMs);
  // Without an instant of central's in the answer, the browser's own clock says when it came.
  const asOf = formatTime(new Date(Date.now() - ageMs).toISOString(), false);
  return (
    <Page>
      <Order order={data.answer} stale={ageMs > freshMs} freshness={<Freshness ageMs={ageMs} asOf={asOf} error={error} />} />
    </Page>
  );
}

interface OrderProps {
  readonly order: OrderView;
  readonly stale: boolean;
  readonly freshness: ReactNode;
}

function Order({ order, stale, freshness }: OrderProps) {
  const [hidden, setHidden] = useState<ReadonlySet<string>>(shownAsSteps);
  const [chosen, setChosen] = useState<Density | null>(null);
  const [selected, setSelected] = useState<string | null>(null);
  const select = useCallback((id: string) => setSelected((before) => (before === id ? null : id)), []);
  const shown = useMemo(() => order.messages.filter((message) => !hidden.has(message.type)), [order.messages, hidden]);
  const density =
    chosen ?? (order.messages.filter((message) => !shownAsSteps.has(message.type)).length <= stepsUpTo ? "steps" : "messages");
  return (
    <>
      <div className="page-head order-head">
        <div>
          <h1>{order.orderName ?? order.moId}</h1>
          {order.orderName !== null && <p className="tiny mono">{order.moId}</p>}
        </div>
        <Facts order={order} />
        {freshness}
      </div>
      <div className="aged" data-stale={stale || undefined}>
        <div className="timeline-tools">
          <TypeFilter messages={order.messages} hidden={hidden} onChange={setHidden} />
          <SegmentedControl
            size="xs"
            aria-label="One line for each"
            value={density}
            onChange={(value) => setChosen(value === "steps" ? "steps" : "messages")}
            data={[
              { value: "messages", label: "Messages" },
              { value: "steps", label: "Every step" },
            ]}
          />
        </div>
        {shown.length > 0 ? (
          <Timeline messages={shown} plant={order.plant} density={density} selected={selected} onSelect={select} />
        ) : (
          <Notice
            icon="ring"
            title={order.messages.length === 0 ? "Nothing happened yet" : "Every message type is filtered away"}
          >
            <p>
              {order.messages.length === 0
                ? "The order is known, and no message about it has reached central. The page fills as soon as one does."
                : "Choose a type above to see its messages."}
            </p>
          </Notice>
        )}
      </div>
      <MessagePanel message={order.messages.find((message) => message.id === selected)} onClose={() => setSelected(null)} />
    </>
  );
}

function Facts({ order }: { readonly order: OrderView }) {
  const hops = order.messages.flatMap((message) => message.hops);
  const times = hops.map((hop) => Date.parse(hop.at)).filter(Number.isFinite);
  const span = times.length > 1 ? Math.max(...times) - Math.min(...times) : null;
  const refused = countOf(order.messages, "refused");
  const unknown = countOf(order.messages, "unknown");
  return (
    <dl className="facts">
      <Fact name="Item">{order.item ?? "–"}</Fact>
      <Fact name="Quantity">{order.quantity ?? "–"}</Fact>
      <Fact name="Plant">{order.plant ?? "–"}</Fact>
      <Fact name="On its way">{span === null ? "–" : span < 60_000 ? formatDelta(span).slice(1) : formatAge(span)}</Fact>
      <Fact name="Messages">{order.messages.length}</Fact>
      {order.unreadable.length > 0 && (
        <Fact name="Unreadable at central" tone="bad">
          {plural(order.unreadable.length, "message")}
        </Fact>
      )}
      {refused > 0 && (
        <Fact name="Refused" tone="bad">
          {plural(refused, "time")}
        </Fact>
      )}
      {unknown > 0 && (
        <Fact name="Outcome unknown" tone="bad">
          {plural(unknown, "time")}
        </Fact>
      )}
    </dl>
  );
}

function countOf(messages: readonly OrderMessage[], kind: "refused" | "unknown"): number {
  return messages.reduce((sum, message) => sum + message.hops.filter((hop) => hop.kind === kind).length, 0);
}

/** Not found is mostly a typing error, or an order that is on its way: say both, and show what is near. */
function UnknownOrder({ id }: { readonly id: string }) {
  // Numbers rise: orders that differ in the last digits only are near.
  const { data } = useOrders(id.slice(0, -2));
  const near = data?.answer.orders ?? [];
  return (
    <Notice icon="search" title={`Central has heard nothing of ${id}`} alone>
      <p>
        Look for a typing error, or search by the beginning of the number in the box above. An order appears as soon as the ERP's
        gateway has recorded its release; while that site cannot reach central, it is still on its way. This page keeps looking.
      </p>
      {near.length > 0 && (
        <>
          <h2>Perhaps you mean</h2>
          <OrderList orders={near.slice(0, 6)} />
        </>
      )}
    </Notice>
  );
}
