import { runChild } from "./child.ts";
import { startErp } from "./erp/erp.ts";
import { erpSettings } from "./messages.ts";

/**
 * The ERP of the company in a process of its own, `company.ts '{…}'`, and the planner who releases orders in it while the load runs: one plant
 * after the other, at a steady rate.
 */
await runChild(async () => {
  const { ordersPerSecond, plants, ...options } = erpSettings.parse(JSON.parse(process.argv[2] ?? ""));
  const erp = await startErp(options);
  const orders: Record<string, number> = Object.fromEntries(plants.map(({ site }) => [site, 0]));
  let timer: NodeJS.Timeout | undefined;
  let n = 0;
  const release = (): void => {
    const plant = plants[n % plants.length];
    if (!plant) return;
    const item = Math.floor(n / plants.length) % 3 === 2 ? "FG-CVR" : "FG-HSG";
    erp.createOrder({ plant: plant.warehouse, item, quantity: 20 + (n % 9) * 10, needBy: new Date(Date.now() + 86_400_000) });
    orders[plant.site] = (orders[plant.site] ?? 0) + 1;
    n += 1;
  };
  return {
    url: erp.url,
    status: () => ({ orders }),
    obey: (order) => {
      clearInterval(timer);
      timer = order === "run" ? setInterval(release, 1000 / (ordersPerSecond * plants.length)) : undefined;
    },
    stop: () => {
      clearInterval(timer);
      return erp.stop();
    },
  };
});
