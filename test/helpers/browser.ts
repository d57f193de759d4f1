// A page of ours in a headless Chromium, as a reader has it: clicked, typed into, looked at. The browser is Debian's.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { PageData } from '../../lib/cli/data';
import { unpack, type PackedData } from '../../lib/cli/pack';
import { Scratch } from './files';

const places = [
  process.env['MEMMAP_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];
const executablePath = places.find((place) => place !== '' && existsSync(place));

/** Why the pages cannot be tested here, for `itUnless`. */
export const noBrowser =
  executablePath === undefined ? 'there is no Chromium here (apt-get install chromium)' : undefined;

export interface PageState {
  scale: 'folded' | 'linear';
  window: [string, string];
  settled: boolean;
  loaded: number;
  frames: number;
  regions: number;
  mapped: number;
  drawn: number;
  selected?: { start: string; length: number; kind: string };
  hovered?: string;
  largest?: { start: string; end: string };
  hidden: string[];
  colouring: string;
  theme: 'light' | 'dark';
  time: number;
  events: number;
  playing: boolean;
  found: number;
  lanes: Record<string, { top: number; height: number }>;
}

interface View {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
}

const isSettled = (): boolean =>
  (globalThis as unknown as { memmapView: { state(): PageState } }).memmapView.state().settled;

/** A page that is open, with everything that went wrong in it. */
export class OpenPage {
  readonly page: Page;
  /** Errors, messages on the console and requests for anything but the file: none of them should be. */
  readonly problems: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.problems.push(`error: ${error.message}`));
    page.on('console', (message) => this.problems.push(`console: ${message.text()}`));
    page.on('request', (request) => {
      const url = request.url();
      if (!/^(file|data|blob):/.test(url)) this.problems.push(`request: ${url}`);
    });
  }

  /** What the page shows, once it has come to rest. */
  async state(): Promise<PageState> {
    // The page's policy forbids to evaluate a string, as it should.
    await this.page.waitForFunction(isSettled);
    return this.page.evaluate('memmapView.state()');
  }

  async press(...keys: string[]): Promise<PageState> {
    for (const key of keys) await this.page.keyboard.press(key);
    return this.state();
  }

  async click(selector: string): Promise<PageState> {
    await this.page.click(selector);
    return this.state();
  }

  text(selector: string): Promise<string> {
    return this.page.innerText(selector);
  }

  /** Red, green, blue of a point of a canvas, in CSS pixels. */
  async pixel(x: number, y: number, canvas = '#canvas'): Promise<number[]> {
    await this.state();
    return this.page.evaluate(`{
      const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      const [x, y] = [${String(x)}, ${String(y)}].map((at) => Math.round(at * devicePixelRatio));
      probe.drawImage(document.querySelector('${canvas}'), -x, -y);
      Array.from(probe.getImageData(0, 0, 1, 1).data).slice(0, 3);
    }`);
  }

  /** A text that is another one when any pixel of a canvas is. */
  async picture(canvas = '#canvas'): Promise<string> {
    await this.state();
    return this.page.evaluate(`document.querySelector('${canvas}').toDataURL()`);
  }

  /** Puts the pointer on a point of the map. */
  async point(x: number, y: number): Promise<PageState> {
    const box = await this.page.locator('#canvas').boundingBox();
    if (box === null) throw new Error('the map is not shown');
    await this.page.mouse.move(box.x + x, box.y + y);
    return this.state();
  }
}

/** One browser for a test file; its pages are files in a folder that goes with it. */
export class TestBrowser {
  readonly #scratch = new Scratch();
  #browser: Promise<Browser> | undefined;

  #launch(): Promise<Browser> {
    const isRoot = process.getuid?.() === 0;
    return chromium.launch({
      ...(executablePath !== undefined && { executablePath }),
      // Its sandbox refuses to start for root; the pages are ours.
      args: isRoot ? ['--no-sandbox'] : [],
    });
  }

  /** Opens a file, offline. */
  async openFile(file: string, view: View = {}): Promise<OpenPage> {
    const { width = 1200, height = 900, colorScheme = 'light' } = view;
    this.#browser ??= this.#launch();
    const context = await (
      await this.#browser
    ).newContext({
      ...{ viewport: { width, height }, colorScheme, offline: true },
      reducedMotion: 'reduce',
    });
    const open = new OpenPage(await context.newPage());
    await open.page.goto(pathToFileURL(file).href);
    return open;
  }

  /** Makes the page of these data and opens it. */
  open(data: PageData, view: View = {}): Promise<OpenPage> {
    const file = this.#scratch.path('page.html');
    writeFileSync(file, renderBuilt(data));
    return this.openFile(file, view);
  }

  async close(): Promise<void> {
    await (await this.#browser)?.close();
    this.#scratch.remove();
  }
}

/** The page as the compiled package makes it. */
export function renderBuilt(data: PageData): string {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- what was built, not the source of it
  const built = require(join(__dirname, '..', '..', 'dist', 'cli', 'page.js')) as {
    renderPage(data: PageData): string;
  };
  return built.renderPage(data);
}

/** The data that a page carries. */
export function dataIn(page: string): PageData {
  const [, json = ''] =
    /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page) ?? [];
  return unpack(JSON.parse(json) as PackedData);
}
