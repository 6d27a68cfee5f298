#!/usr/bin/env node
// Plain JavaScript that any Node can read: an older one would stop at the first type in src/main.ts, with a syntax error.
const needed = [24, 12];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  await import("../src/main.ts");
} else {
  console.error(
    `error: Sluice needs Node ${needed.join(".")} or later, and this is ${process.versions.node} (${process.execPath}).` +
      " In a checkout, `npx sluice` and the npm scripts bring their own.",
  );
  process.exitCode = 1;
}
