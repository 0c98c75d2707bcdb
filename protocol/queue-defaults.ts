/** How a gateway keeps what waits while no document says otherwise ({@link queuePolicy}). */
export const defaultQueuePolicy = {
  lanes: {
    transaction: { maxBytes: "8GiB", weight: 8 },
    bulk: { maxBytes: "2GiB", weight: 2 },
    telemetry: { maxBytes: "2GiB", weight: 1 },
  },
  encryption: { atRest: false, rotateEvery: "90d" },
};
