import { Death, dyingTarget } from "./dying-database.ts";
import { driveAll, openRollouts } from "./rollouts.ts";

/** Drives all rollouts to their ends, and dies before the engine's statement with the given number; prints how many there were. */
const [place = "", dieBefore] = [process.argv[2], Number(process.argv[3])];
const death = new Death(dieBefore);
const test = await openRollouts(await dyingTarget(place, death));
await driveAll(test, (isLooking) => {
  death.armed = isLooking;
});
process.stdout.write(String(death.statements));
await test.storage.destroy();
