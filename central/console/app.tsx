import { Skeleton } from "@mantine/core";
import { lazy, Suspense, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { AlarmsPage } from "./alarms/alarms-page.tsx";
import { useLiveEvents } from "./api/live.ts";
import { ChangesPage } from "./changes/changes-page.tsx";
import { DocumentsPage } from "./documents/documents-page.tsx";
import { OrderPage } from "./orders/order-page.tsx";
import { OrderSearch } from "./orders/order-search.tsx";
import { OrdersPage } from "./orders/orders-page.tsx";
import { Notice } from "./parts/notice.tsx";
import { Page } from "./parts/page.tsx";
import { SchemeToggle } from "./parts/scheme-toggle.tsx";
import { AuditPage } from "./people/audit-page.tsx";
import { TokensPage } from "./people/tokens-page.tsx";
import { UsersPage } from "./people/users-page.tsx";
import { RecoveryPage } from "./recovery/recovery-page.tsx";
import { ReleasesPage } from "./releases/releases-page.tsx";
import { RolloutPage } from "./rollouts/rollout-page.tsx";
import { RolloutsPage } from "./rollouts/rollouts-page.tsx";
import { AccountMenu } from "./signin/account-menu.tsx";
import { SitePage } from "./site/site-page.tsx";
import { SitesPage } from "./sites/sites-page.tsx";

// CodeMirror is as large as all else together: it comes with the pages that need it.
const DocumentPage = lazy(async () => ({ default: (await import("./documents/document-page.tsx")).DocumentPage }));
const EditorPage = lazy(async () => ({ default: (await import("./documents/editor-page.tsx")).EditorPage }));
const ChangePage = lazy(async () => ({ default: (await import("./changes/change-page.tsx")).ChangePage }));

const tabs = [
  { href: "/", word: "Sites", under: /^\/(sites(\/|$)|$)/ },
  { href: "/alarms", word: "Alarms", under: /^\/alarms(\/|$)/ },
  { href: "/orders", word: "Orders", under: /^\/orders(\/|$)/ },
  { href: "/documents", word: "Documents", under: /^\/documents(\/|$)/ },
  { href: "/changes", word: "Changes", under: /^\/changes(\/|$)/ },
  { href: "/rollouts", word: "Rollouts", under: /^\/rollouts(\/|$)/ },
  { href: "/releases", word: "Releases", under: /^\/releases(\/|$)/ },
  { href: "/recovery", word: "Recovery", under: /^\/recovery(\/|$)/ },
  { href: "/users", word: "Access", under: /^\/(users|tokens|audit)(\/|$)/ },
] as const;

export function App() {
  useLiveEvents();
  const [location] = useLocation();
  useFocusOnNewPage(location);
  const nav = useRef<HTMLElement>(null);
  // where the tabs are wider than the screen, the one that is open is among those in sight
  // biome-ignore lint/correctness/useExhaustiveDependencies: the tab that is open follows from where one is
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [location]);
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
        <nav aria-label="Pages" ref={nav}>
          {tabs.map(({ href, word, under }) => (
            <Link key={href} href={href} className="tab" aria-current={under.test(location) ? "page" : undefined}>
              {word}
            </Link>
          ))}
        </nav>
        <OrderSearch />
        <SchemeToggle />
        <AccountMenu />
      </header>
      <Suspense
        fallback={
          <Page>
            <div role="status" aria-label="Loading the page" className="loading">
              <Skeleton height={44} radius="md" />
              <Skeleton height={320} radius="md" />
            </div>
          </Page>
        }
      >
        <CurrentPage location={location} />
      </Suspense>
    </>
  );
}

function CurrentPage({ location }: { readonly location: string }) {
  const [first = "", ...rest] = location
    .replace(/^\/|\/$/g, "")
    .split("/")
    .map(decode);
  const [one, two, three] = rest;
  if (first === "") return <SitesPage />;
  if (first === "sites" && one !== undefined && rest.length === 1) return <SitePage key={one} site={one} />;
  if (first === "orders") {
    // an order's name holds slashes: `/orders/WH%2FMO%2F00042` and `/orders/WH/MO/00042` are the same order
    const id = decode(location.replace(/^\/orders\/?/, ""));
    return id === "" ? <OrdersPage /> : <OrderPage key={id} id={id} />;
  }
  if (first === "documents") {
    if (one === undefined) return <DocumentsPage />;
    if (one === "new" && rest.length === 1) return <EditorPage key="new" />;
    if (two !== undefined && rest.length === 2) return <DocumentPage key={`${one}/${two}`} kind={one} name={two} />;
    if (two !== undefined && three === "edit" && rest.length === 3)
      return <EditorPage key={`${one}/${two}`} kind={one} name={two} />;
  }
  if (first === "changes" || first === "rollouts") {
    const number = Number(one);
    if (one === undefined) return first === "changes" ? <ChangesPage /> : <RolloutsPage />;
    if (Number.isInteger(number) && number > 0 && rest.length === 1)
      return first === "changes" ? <ChangePage key={number} number={number} /> : <RolloutPage key={number} number={number} />;
  }
  if (rest.length === 0) {
    if (first === "alarms") return <AlarmsPage />;
    if (first === "recovery") return <RecoveryPage />;
    if (first === "releases") return <ReleasesPage />;
    if (first === "users") return <UsersPage />;
    if (first === "tokens") return <TokensPage />;
    if (first === "audit") return <AuditPage />;
  }
  return (
    <Page>
      <Notice icon="question" title="There is no such page" alone>
        <p>
          Back to <Link href="/">all sites</Link>, or search for an order above.
        </p>
      </Notice>
    </Page>
  );
}

/** After a link inside the console the reader's place is the new page's content, as after a load. */
function useFocusOnNewPage(location: string): void {
  const before = useRef(location);
  useEffect(() => {
    if (before.current === location) return;
    before.current = location;
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [location]);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
