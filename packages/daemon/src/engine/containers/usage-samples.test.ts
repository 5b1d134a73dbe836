// The last samples, oldest first, and no more of them than are kept.
import { describe, expect, it } from "vitest";
import { UsageSamples } from "./usage-samples.ts";

const sample = (number: number) => ({
  time: number * 5000,
  Cpu: number,
  Memory: number + 1,
  Processes: number + 2,
  Read: number + 3,
  Written: number + 4,
  Received: number + 5,
  Sent: number + 6,
});

describe("samples of a container's use", () => {
  it("are none at first, and come back as they were taken", () => {
    const samples = new UsageSamples(3);
    expect(samples.all()).toEqual([]);
    samples.add(sample(1));
    const { time: _time, ...rest } = sample(1);
    expect(samples.all()).toEqual([{ ...rest, Time: "1970-01-01T00:00:05.000Z" }]);
  });

  it("push out the oldest", () => {
    const samples = new UsageSamples(3);
    for (let number = 1; number <= 8; number++) samples.add(sample(number));
    expect(samples.all().map(({ Cpu }) => Cpu)).toEqual([6, 7, 8]);
  });
});
