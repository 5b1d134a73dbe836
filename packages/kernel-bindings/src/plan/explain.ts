// A launch plan explained: each step with who carries it out, by which kernel calls, what it does and why.
import { describeMessages } from "../netlink/words.ts";
import { callsOf } from "./calls.ts";
import { describeStep } from "./describe.ts";
import { reasonFor } from "./reasons.ts";
import { type Op, type Plan, type Stage, type Step, stageOf } from "./vocabulary.ts";

export interface ExplainedStep {
  /** Its place in the plan: what failures of a start refer to. */
  number: number;
  stage: Stage;
  op: Op;
  calls: string[];
  does: string;
  /** Single messages of a step that sends many. */
  details: string[];
  why: string;
}

const detailsOf = (step: Step): string[] =>
  step.op === "netlink" || step.op === "netlink.host" ? describeMessages(step.messages) : [];

/** Explains a plan, step by step. */
export const explainPlan = (plan: Plan): ExplainedStep[] =>
  plan.map((step, number) => ({
    number,
    stage: stageOf(step.op),
    op: step.op,
    calls: callsOf(step),
    does: describeStep(step),
    details: detailsOf(step),
    why: reasonFor(step),
  }));
