import { Link } from "wouter";
import type { OrdersAnswer } from "../../http/views.ts";
import { describeInstant, formatDay, formatTime, plural } from "../parts/time.ts";
import { orderPath } from "./order-search.tsx";

/** Orders as links, newest word first as central gave them. */
export function OrderList({ orders }: { readonly orders: OrdersAnswer["orders"] }) {
  return (
    <ul className="order-list">
      {orders.map((order) => (
        <li key={order.moId}>
          <Link href={orderPath(order.orderName ?? order.moId)} className="order-link">
            <b>{order.orderName ?? order.moId}</b>
            <span className="tiny">{order.orderName === null ? "" : order.moId}</span>
            <span>{order.plant ?? "–"}</span>
            <span>{plural(order.messages, "message")}</span>
            <time className="num" dateTime={order.lastAt} title={describeInstant(order.lastAt)}>
              {formatDay(order.lastAt)} {formatTime(order.lastAt, false)}
            </time>
          </Link>
        </li>
      ))}
    </ul>
  );
}
