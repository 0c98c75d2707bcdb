import { Death, dyingTarget } from "./dying-database.ts";
import { openLedger } from "./ledger.ts";
import { recordScript } from "./ledger-script.ts";

/**
 * Records or projects on a ledger and dies, as by a power cut of the process, before the statement with the given number. On PostgreSQL
 * the number counts the statements that are sent.
 */
const [work, place = "", dieBefore] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const death = new Death(dieBefore);
const ledger = await openLedger(await dyingTarget(place, death));
death.armed = true;
if (work === "record") await recordScript(ledger);
else while (await ledger.projector.step());
death.armed = false;
process.stdout.write(String(death.statements));
await ledger.storage.destroy();
