import { configDefaults, defineConfig } from "vitest/config";

/** Suites that measure what containers get of the machine, or how the daemon bears up: beside others there is not enough of it. */
const measuring = [
  "e2e/abuse/connections.test.ts",
  "e2e/abuse/malformed.test.ts",
  "e2e/networks/floods.test.ts",
  "e2e/networks/shaping.test.ts",
  "e2e/resources/limits.test.ts",
  "e2e/resources/realtime.test.ts",
];

// Unit tests stand beside the source and need no root; the black-box suites in e2e/ need the real kernel.
const endToEnd = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "certs/src/**/*.test.ts"] } },
      {
        test: {
          ...endToEnd,
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...measuring],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...endToEnd,
          name: "e2e-alone",
          include: measuring,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
