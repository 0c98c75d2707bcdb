import { Link, useLocation } from "wouter";

const pages = [
  { href: "/users", word: "Users" },
  { href: "/tokens", word: "API tokens" },
  { href: "/audit", word: "Audit" },
];

/** Who may do what, and who did. */
export function AccessTabs() {
  const [location] = useLocation();
  return (
    <nav className="sub-tabs" aria-label="Access">
      {pages.map(({ href, word }) => (
        <Link key={href} href={href} className="sub-tab" aria-current={location === href ? "page" : undefined}>
          {word}
        </Link>
      ))}
    </nav>
  );
}
