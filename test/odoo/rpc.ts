/** JSON-2 as a person would call it by hand: for setting up and for looking, independent of the connector's own client. */
export type Rpc = <T = unknown>(model: string, method: string, body: Record<string, unknown>) => Promise<T>;

export function openRpc(url: string, database: string, key: string): Rpc {
  return async <T>(model: string, method: string, body: Record<string, unknown>): Promise<T> => {
    const response = await fetch(`${url}/json/2/${model}/${method}`, {
      method: "POST",
      headers: { authorization: `bearer ${key}`, "x-odoo-database": database, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (response.status !== 200) {
      let shown = text.slice(0, 300);
      try {
        const error = JSON.parse(text) as { name: string; message: string };
        shown = `${error.name}: ${error.message}`;
      } catch {}
      throw new Error(`${model}/${method} answered ${response.status}: ${shown}`);
    }
    return JSON.parse(text) as T;
  };
}
