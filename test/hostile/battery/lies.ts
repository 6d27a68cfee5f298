/**
 * What a runner that was taken over may say on its channel in place of an answer to three tasks. Code for rig/liar.ts.
 *
 * Unless an entry says otherwise it costs the runner, and nothing of it stands: the tasks come back as crashed.
 */

export interface Lie {
  /** Ends the sentence "A runner that says …". */
  readonly name: string;
  readonly code: string;
  /** What the tasks come to. */
  readonly comes: readonly unknown[];
  /** Whether the runner is killed for it. */
  readonly fatal: boolean;
}

const CRASHED = ["crashed", "crashed", "crashed"];
const DONE = [[], [], []];

const lies = (table: Readonly<Record<string, string>>, comes: readonly unknown[] = CRASHED, fatal = true): Lie[] =>
  Object.entries(table).map(([name, code]) => ({ name, code, comes, fatal }));

const frames = lies({
  noise: "raw(Buffer.from(Array.from({ length: 100_000 }, (_, n) => 200 - ((n * 7919) % 151))));",
  "text of another protocol": "raw('HTTP/1.1 200 OK\\r\\n\\r\\n');",
  zeros: "raw(Buffer.alloc(1_000_000));",
  "that 4 GB are to come": "raw(frame('ran', id, '', 0xffffffff));",
  "that a byte more is to come than a frame may have": "raw(frame('ran', id, '', 64 * 1024 * 1024 + 1));",
  "a frame that is shorter than its head": "raw(frame('ran', id, '', 4));",
  "a frame of no kind": "raw(frame(200, id, answer('')));",
  "what only the gateway says": "say('run', id, Buffer.alloc(6));",
  "an answer of three bytes": "say('ran', id, 'abc');",
  "an answer that is all failure": "say('ran', id, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b, 0x7d]));",
  "an answer to a request that nobody made": "ran(id + 1000, '.\\n.\\n.\\n');",
  "that it is ready, a hundred thousand times": "raw(Buffer.concat(Array(100_000).fill(frame('ready', 0, 'null'))));",
  "that what was run is loaded": 'say(\'loaded\', id, \'{"at":"ready","config":"{}"}\');',
});

const stuck = lies({
  "that it is stuck in nothing": "say('stuck', id, 'null');",
  "that it is stuck in half a task": "say('stuck', id, '{\"index\":0.5}');",
  "that it is stuck in a task that it does not have": "say('stuck', id, '{\"index\":3}');",
  "that it is stuck in a prototype": 'say(\'stuck\', id, \'{"index":"__proto__","__proto__":{"index":0}}\');',
  "that it is stuck, two million levels deep": "say('stuck', id, deep);",
});

const beats = lies({
  "a beat of texts": 'say(\'beat\', 0, \'{"alive":"1","rested":"0","yielded":"0"}\');',
  "a beat of prototypes": 'say(\'beat\', 0, \'{"__proto__":{"alive":1,"rested":0,"yielded":0}}\');',
  "a beat of less than nothing": 'say(\'beat\', 0, \'{"alive":-1,"rested":0,"yielded":0}\');',
  "a beat of more isolates than there can be":
    'say(\'beat\', 0, \'{"alive":9007199254740991,"rested":0,"yielded":0}\'); ran(id, ".\\n.\\n.\\n");',
  "counts that fall":
    'say(\'beat\', 0, \'{"alive":1,"rested":2,"yielded":0}\'); say(\'beat\', 0, \'{"alive":1,"rested":1,"yielded":0}\');',
  "a thousand beats at once":
    'raw(Buffer.concat(Array(1000).fill(frame(\'beat\', 0, \'{"alive":1,"rested":0,"yielded":0}\'))));',
  "a beat, two million levels deep": "say('beat', 0, deep);",
});

const answers = lies({
  "too few results": "ran(id, '.\\n.\\n');",
  "a million results": "ran(id, '.\\n'.repeat(1_000_000));",
  "half a line": "ran(id, '.\\n.\\n.');",
  "no UTF-8": "ran(id, Buffer.from([0x6f, 0x22, 0xff, 0xfe, 0x22, 0x0a]));",
  "an output that is no JSON": "ran(id, 'o{\"a\":}\\n.\\n.\\n.\\n');",
  "an output, two million levels deep": "ran(id, 'o' + deep + '\\n.\\n.\\n.\\n');",
  "an address, two million levels deep": "ran(id, 'a' + deep + '\\no1\\n.\\n.\\n.\\n');",
  "a state, two million levels deep": "ran(id, 's' + deep + '\\n.\\n.\\n.\\n');",
  "a state of a megabyte": "ran(id, 's' + JSON.stringify({ a: 'x'.repeat(1_000_000) }) + '\\n.\\n.\\n.\\n');",
  "more outputs than one event may have": "ran(id, 'o1\\n'.repeat(101) + '.\\n.\\n.\\n');",
  "outputs of 5 MB": `ran(id, ('o"' + 'x'.repeat(500_000) + '"\\n').repeat(10) + '.\\n.\\n.\\n');`,
  "a publish to everybody": 'ran(id, \'a{"publish":{"topic":"#","qos":0}}\\no1\\n.\\n.\\n.\\n\');',
  "a failure with a code of another room": 'ran(id, \'!{"code":"JOURNAL_LOCKED","message":"m"}\\n.\\n.\\n\');',
  "a failure of prototypes": 'ran(id, \'!{"__proto__":{"code":"A_B","message":"m","polluted":1}}\\n.\\n.\\n\');',
  "an address of prototypes":
    'ran(id, \'a{"__proto__":{"polluted":1},"publish":{"__proto__":{"topic":"a","qos":0}}}\\no1\\n.\\n.\\n.\\n\');',
  "that it lost the isolate over a task that it does not have":
    'ran(id, \'\', \'{"code":"SANDBOX_MEMORY","message":"m","index":7}\');',
  "that all are behind one that did not fail": "ran(id, '~\\n~\\n~\\n');",
  "that it began nothing": "ran(id, '-\\n-\\n-\\n');",
  "ten thousand log lines and one": "ran(id, 'l3\"x\"\\n'.repeat(10_001) + '.\\n.\\n.\\n');",
  "a log line of 5 MB": "ran(id, 'l3' + JSON.stringify('x'.repeat(5_000_000)) + '\\n.\\n.\\n.\\n');",
});

const asks = lies({
  "a hundred thousand ends of asks": "raw(Buffer.concat(Array(100_000).fill(frame('ask', id, 'x1'))));",
  "more asks than a batch may have, and their ends": `raw(Buffer.concat(Array.from({ length: 5_000 }, (_, n) => Buffer.concat([
    frame('ask', id, 'f' + JSON.stringify({ id: n + 1, url: 'http://a.example/', method: 'GET', redirect: 'follow', headers: [] })),
    frame('ask', id, 'x' + (n + 1))]))));`,
});

const ends = lies({
  "nothing, and dies": "die();",
  "nothing, and exits well": "process.exit(0);",
  "nothing, and closes its half": "channel.end();",
  "nothing, and closes the channel but lives": "channel.destroy(); setInterval(() => {}, 1000);",
  "a head, and dies": "raw(frame('ran', id, '', 100)); setTimeout(die, 20);",
  "half an answer, and dies": "raw(frame('ran', id, answer('.\\n.\\n.\\n')).subarray(0, 14)); setTimeout(die, 20);",
  "an error that nobody catches": "throw new Error('x'.repeat(1_000_000));",
});

/** It is killed when its time is over, which takes seconds; everything else is seen at once. */
export const SILENCES: readonly Lie[] = lies({
  "nothing, and computes for ever": "for (;;);",
  "nothing but that it is well": 'setInterval(() => say(\'beat\', 0, \'{"alive":1,"rested":0,"yielded":0}\'), 250);',
  "a byte now and then":
    "const slow = frame('ran', id, answer('.\\n.\\n.\\n')); let at = 0; setInterval(() => raw(slow.subarray(at, ++at)), 1000);",
  "50 MB of 60, and no more": "raw(frame('ran', id, Buffer.alloc(50_000_000), 60_000_000));",
});

const believed = [
  ...lies(
    {
      "its answer twice": "ran(id, '.\\n.\\n.\\n'); ran(id, '.\\n.\\n.\\n');",
      "its answer, and dies": "ran(id, '.\\n.\\n.\\n'); setTimeout(die, 20);",
      "its answer and half of another, and dies":
        "ran(id, '.\\n.\\n.\\n'); raw(Buffer.from([0, 0, 1])); setTimeout(die, 20);",
    },
    DONE,
  ),
  ...lies(
    {
      "addresses of nothing": "ran(id, 'a{}\\n'.repeat(100_000) + '.\\n.\\n.\\n');",
      "20 MB on its standard error": "process.stderr.write('x'.repeat(20_000_000)); ran(id, '.\\n.\\n.\\n');",
    },
    DONE,
    false,
  ),
];

export const LIES: readonly Lie[] = [...frames, ...stuck, ...beats, ...answers, ...asks, ...ends, ...believed];
