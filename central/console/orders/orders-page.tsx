import { Skeleton } from "@mantine/core";
import { useOrders } from "../api/queries.ts";
import { FailureNotice, Notice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { OrderList } from "./order-list.tsx";

/** Orders that central heard of lately; any other is found by its number. */
export function OrdersPage() {
  useTitle("Orders");
  const { data, error } = useOrders("");
  return (
    <Page narrow>
      <div className="page-head">
        <h1>Orders</h1>
      </div>
      {!data && error && <FailureNotice error={error} />}
      {!data && !error && <Skeleton height={220} radius="md" />}
      {data && data.answer.orders.length === 0 && (
        <Notice icon="search" title="Find an order">
          <p>
            Type its number in the box above, such as WH/MO/00042 or hq-mo-42: its whole way from the ERP to the press and back
            appears here.
          </p>
        </Notice>
      )}
      {data && data.answer.orders.length > 0 && <OrderList orders={data.answer.orders} />}
    </Page>
  );
}
