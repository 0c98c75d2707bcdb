import { Link, useLocation } from "wouter";
import { useLiveEvents } from "./api/live.ts";
import { OrderPage } from "./orders/order-page.tsx";
import { OrderSearch } from "./orders/order-search.tsx";
import { OrdersPage } from "./orders/orders-page.tsx";
import { Notice } from "./parts/notice.tsx";
import { SchemeToggle } from "./parts/scheme-toggle.tsx";
import { SitesPage } from "./sites/sites-page.tsx";

export function App() {
  useLiveEvents();
  const [location] = useLocation();
  const onOrders = location === "/orders" || location.startsWith("/orders/");
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="top">
        <Link href="/" className="brand" aria-label="Plantgate, all sites">
          <svg aria-hidden="true" viewBox="0 0 32 32" width="22" height="22">
            <rect width="32" height="32" rx="7" className="brand-ground" />
            <path d="M8 24V11.5a8 8 0 0 1 16 0V24M16 24V13" fill="none" stroke="#fff" strokeWidth="3" strokeLinecap="round" />
            <circle cx="16" cy="12" r="2.6" fill="#fff" />
          </svg>
          <span>Plantgate</span>
        </Link>
        <nav aria-label="Pages">
          <Link href="/" className="tab" aria-current={location === "/" ? "page" : undefined}>
            Sites
          </Link>
          <Link href="/orders" className="tab" aria-current={onOrders ? "page" : undefined}>
            Orders
          </Link>
        </nav>
        <OrderSearch />
        <SchemeToggle />
      </header>
      <Page location={location} />
    </>
  );
}

function Page({ location }: { readonly location: string }) {
  if (location === "/") return <SitesPage />;
  if (location === "/orders" || location === "/orders/") return <OrdersPage />;
  const id = /^\/orders\/(.+)$/.exec(location)?.[1];
  if (id !== undefined) return <OrderPage key={id} id={decode(id)} />;
  return (
    <main id="main" className="page">
      <Notice icon="question" title="There is no such page">
        <p>
          Back to <Link href="/">all sites</Link>, or search for an order above.
        </p>
      </Notice>
    </main>
  );
}

/** An order's name holds slashes: `/orders/WH%2FMO%2F00042` and `/orders/WH/MO/00042` are the same order. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
