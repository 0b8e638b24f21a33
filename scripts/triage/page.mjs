// Looks at the page of a pile as people do: light and dark, on a desk and on a phone, by keyboard, on paper.
// Run by scripts/triage/page, with puppeteer-core and axe-core beside it.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.MODULES}/x.js`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [file, pictures] = process.argv.slice(2);
const wrong = [];
const check = (is, what) => { if (!is) wrong.push(what); };

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"],
});
const open = async (address, width, scheme) => {
  const page = await browser.newPage();
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()}`));
  page.on("request", (request) => /^(file|data|about):/.test(request.url()) || wrong.push(`it asks ${request.url()}`));
  await page.setViewport({ width, height: 900, isMobile: width < 600 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const began = Date.now();
  await page.goto(address, { waitUntil: "load", timeout: 60000 });
  return [page, Date.now() - began];
};
const accessible = async (page, where) => {
  // Not as a script of the page, which its policy forbids, but of the browser.
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"] }));
  for (const { id, nodes } of found.violations) wrong.push(`${where}: ${id}: ${nodes[0].html.slice(0, 150)} (${nodes.length})`);
  return found.passes.length;
};

const address = pathToFileURL(file).href;
for (const scheme of ["light", "dark"]) {
  for (const width of [1280, 375]) {
    const where = `${scheme}, ${width} pixels`;
    const [page, time] = await open(address, width, scheme);
    const rows = await page.$$eval("#rows tbody tr", (rows) => rows.length);
    const all = await page.$eval("#shown", (shown) => shown.textContent);
    check(rows > 0, `${where}: the table is empty`);
    check(time < 5000, `${where}: it took ${time} ms to load`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `${where}: ${wide} pixels stick out`);
    const passes = await accessible(page, where);
    console.log(`${where}: ${all} rows, loaded in ${time} ms, ${passes} rules of axe-core are kept`);
    if (pictures) await page.screenshot({ path: `${pictures}/${scheme}-${width}.png` });
    await page.close();
  }
}

const [page] = await open(address, 1280, "light");
const first = () => page.$eval("#rows tbody tr", (row) => [...row.cells].map((cell) => cell.textContent));
const shown = () => page.$eval("#shown", (shown) => shown.textContent);
// By keyboard alone: `/` goes to the filter, Tab to the headings, Enter sorts.
await page.keyboard.press("/");
check(await page.evaluate(() => document.activeElement.id) === "filter", "`/` does not go to the filter");
const before = await shown();
let began = Date.now();
await page.keyboard.type("confirmed");
const typed = Date.now() - began;
check(await shown() !== before || (await first())[1] === "confirmed", "the filter does nothing");
check(typed < 9 * 500, `nine letters in the filter took ${typed} ms`);
await page.keyboard.press("Tab");
check(await page.evaluate(() => document.activeElement.classList.contains("wide")), "the table cannot be scrolled by keyboard");
await page.keyboard.press("Tab");
check(await page.evaluate(() => document.activeElement.closest("th") !== null), "Tab does not go on to the headings");
began = Date.now();
await page.keyboard.press("Enter");
const up = (await first())[0];
await page.keyboard.press("Enter");
const down = (await first())[0];
console.log(`nine letters in the filter took ${typed} ms, sorting twice ${Date.now() - began} ms`);
check(up <= down, "Enter on a heading does not sort");
check(await page.$eval("#rows th", (cell) => cell.getAttribute("aria-sort")) === "descending", "the order is not told");
await page.emulateMediaType("print");
check(await page.$eval("#table", (table) => getComputedStyle(table).display === "none"), "the table is printed");
const paper = await page.pdf({ format: "A4" });
check(paper.length > 5000, "nothing is printed");

// A page of one dump, where there are such.
await page.emulateMediaType("screen");
const link = await page.$eval("#rows tbody tr td a", (link) => link.href).catch(() => null);
if (link && link.startsWith("file:") && !link.includes("#")) {
  for (const scheme of ["light", "dark"]) {
    const [dump] = await open(link, 375, scheme);
    const wide = await dump.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `page of a dump, ${scheme}: ${wide} pixels stick out`);
    const passes = await accessible(dump, `page of a dump, ${scheme}`);
    check(await dump.$eval("header a", (link) => link.href) === address, "it does not lead back");
    console.log(`page of a dump, ${scheme}: ${passes} rules of axe-core are kept`);
    if (pictures) await dump.screenshot({ path: `${pictures}/dump-${scheme}.png` });
    await dump.close();
  }
}
await browser.close();
for (const line of wrong) console.log(`wrong: ${line}`);
process.exit(wrong.length ? 1 : 0);
