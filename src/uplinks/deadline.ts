/** Resolves when `work` is over or after `ms`, and never rejects. */
export function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const over = (): void => {
      clearTimeout(timer);
      resolve();
    };
    work.then(over, over);
  });
}
