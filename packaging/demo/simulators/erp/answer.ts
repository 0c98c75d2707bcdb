import type { ErpFault } from "./fault.ts";

/** Odoo's error body; `debug` holds a server traceback, which a client must neither log nor show. */
export function errorBody(fault: ErpFault): Record<string, unknown> {
  const traceback = [
    "Traceback (most recent call last):",
    '  File "/usr/lib/python3/dist-packages/odoo/http.py", line 2273, in _serve_db',
    `${fault.className}: ${fault.message}`,
    "",
  ];
  const werkzeug = fault.className.startsWith("werkzeug.");
  return {
    name: fault.className,
    message: fault.message,
    arguments: werkzeug ? [fault.message, fault.status] : [fault.message],
    context: {},
    debug: traceback.join("\n"),
  };
}

export const wrongDatabasePage = `<!DOCTYPE html>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>No database is selected and the requested URL was not found in the server-wide controllers.</p>
<!-- Alternatively, use the X-Odoo-Database header. -->
`;

export const wrongMediaTypePage = `<!doctype html>
<html lang=en>
<title>415 Unsupported Media Type</title>
<h1>Unsupported Media Type</h1>
<p>Please verify the Content-Type request header and try again.</p>
`;
