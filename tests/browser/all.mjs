// The status page in a real browser, in front of real proxies.
//
//     BROWSER_NODE_MODULES=DIRECTORY node all.mjs BINARY [WORDS OF A TEST'S NAME]

import { after, before, describe, it } from "node:test";

import { access } from "./access.mjs";
import { close, launch } from "./page.mjs";
import { end, notAtMidnight } from "./processes.mjs";
import { questions } from "./questions.mjs";
import { safety } from "./safety.mjs";
import { sentences } from "./sentences.mjs";
import { updates } from "./updates.mjs";

const TESTS = { "the page:": updates, "for everybody:": access, "from the page alone:": questions, "the sentence tells": sentences, "safety:": safety };
const [, , , wanted = ""] = process.argv;

describe("the status page", { concurrency: 4, timeout: 240_000 }, () => {
  before(async () => {
    await notAtMidnight();
    await launch();
  });
  after(async () => {
    await close();
    await end();
  });
  for (const [about, tests] of Object.entries(TESTS)) {
    for (const [name, test] of Object.entries(tests)) {
      const sentence = `${about} ${name}`;
      if (sentence.includes(wanted)) it(sentence, test);
    }
  }
});
