import { defineConfig } from "vitest/config";

const quick = { testTimeout: 20_000, hookTimeout: 20_000 };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/stories/**", "test/peers/**"],
          ...quick,
        },
      },
      {
        test: { name: "stories", include: ["test/stories/**/*.test.ts"], testTimeout: 300_000, hookTimeout: 60_000 },
      },
      {
        test: { name: "peers", include: ["test/peers/**/*.test.ts"], testTimeout: 300_000, hookTimeout: 300_000 },
      },
    ],
  },
});
