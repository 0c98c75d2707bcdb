import { Autocomplete, Kbd } from "@mantine/core";
import { useDebouncedValue, useHotkeys } from "@mantine/hooks";
import { useRef, useState } from "react";
import { useLocation } from "wouter";
import { useOrders } from "../api/queries.ts";
import { Icon } from "../parts/icon.tsx";
import { plural } from "../parts/time.ts";

/** Address of an order's page; a name such as WH/MO/00042 is one part of the path. */
export function orderPath(id: string): string {
  return `/orders/${encodeURIComponent(id)}`;
}

/** The box in the header: finds an order by the beginning of its number or name; Enter opens what was typed, "/" puts the cursor here. */
export function OrderSearch() {
  const [, navigate] = useLocation();
  const [text, setText] = useState("");
  const [asked] = useDebouncedValue(text.trim(), 150);
  const input = useRef<HTMLInputElement>(null);
  const { data } = useOrders(asked, asked !== "");
  const orders = asked === "" ? [] : (data?.answer.orders ?? []);
  useHotkeys([["/", () => input.current?.focus()]]);

  const open = (id: string) => {
    setText("");
    input.current?.blur();
    navigate(orderPath(id));
  };
  return (
    <search className="search">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const typed = text.trim();
          if (typed !== "") open(orders.find((order) => order.orderName === typed || order.moId === typed)?.orderName ?? typed);
        }}
      >
        <Autocomplete
          ref={input}
          size="sm"
          aria-label="Order number"
          placeholder="Order number, such as WH/MO/00042"
          leftSection={<Icon name="search" size={15} />}
          rightSection={<Kbd size="xs">/</Kbd>}
          rightSectionPointerEvents="none"
          value={text}
          onChange={setText}
          data={orders.map((order) => order.moId)}
          // Central has already chosen; nothing is filtered here again.
          filter={({ options }) => options}
          limit={8}
          onOptionSubmit={(moId) => open(orders.find((order) => order.moId === moId)?.orderName ?? moId)}
          renderOption={({ option }) => {
            const order = orders.find((candidate) => candidate.moId === option.value);
            return (
              <span className="suggestion">
                <b>{order?.orderName ?? option.value}</b>
                <span className="tiny">
                  {[order?.orderName ? order.moId : null, order?.plant, order ? plural(order.messages, "message") : null]
                    .filter(Boolean)
                    .join(" · ")}
                </span>
              </span>
            );
          }}
        />
      </form>
    </search>
  );
}
