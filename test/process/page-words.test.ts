// What the page says, to whom it says it, and what it does with names that want to be code.

import { PAGE, pageData, region, smallProcess } from '../helpers/address-spaces';
import { dataIn, noBrowser, renderBuilt, TestBrowser, type OpenPage } from '../helpers/browser';
import { itUnless } from '../helpers/refusals';

const it_ = itUnless(noBrowser);
const browser = new TestBrowser();
afterAll(() => browser.close());

const open = (view?: Parameters<TestBrowser['open']>[1]) =>
  browser.open(pageData(smallProcess()), view);

const groundOf = (opened: OpenPage): Promise<string> =>
  opened.page.evaluate('getComputedStyle(document.body).backgroundColor');

describe('the search', () => {
  it_('finds by address, path, label and owner, and goes there', async () => {
    const opened = await open();
    const cases: [string, number, string][] = [
      ['0x7f1240001234', 1, 'mapping'],
      ['7f1240001234', 1, 'mapping'],
      ['/usr/lib/libc', 2, 'library'],
      ['thread stack 42', 1, 'thread-stack'],
      ['V8 CAGE', 1, 'v8-cage'],
      ['guard', 1, 'guard'],
      ['0x30000000', 1, 'free'],
    ];
    for (const [query, found, kind] of cases) {
      await opened.press('/');
      await opened.page.fill('#query', query);
      expect([query, (await opened.state()).found]).toEqual([query, found]);
      const jumped = await opened.press('Enter');
      expect([query, jumped.selected?.kind]).toEqual([query, kind]);
      await opened.press('Escape');
    }
    expect(opened.problems).toEqual([]);
  });

  it_('goes through what was found with Enter and arrows, and closes', async () => {
    const opened = await open();
    await opened.press('/');
    await opened.page.keyboard.type('libc.so');
    expect(await opened.page.locator('#found [role=option]').count()).toBe(2);
    expect((await opened.press('Enter')).selected?.start).toBe('0x7f1280000000');
    expect((await opened.press('Enter')).selected?.start).toBe('0x7f1280200000');
    expect((await opened.press('ArrowUp', 'ArrowDown', 'Enter')).selected?.start).toBe(
      '0x7f1280000000',
    );
    await opened.press('Escape');
    expect(await opened.page.isVisible('#found')).toBe(false);
    await opened.page.fill('#query', 'libc.so');
    await opened.click('#found [data-at="1"]');
    expect((await opened.state()).selected?.start).toBe('0x7f1280200000');
    await opened.page.fill('#query', 'no such thing');
    expect(await opened.text('#found')).toMatch(/Nothing has this/);
    await opened.press('Enter');
    expect(opened.problems).toEqual([]);
  });

  it_('shows a band again that was hidden', async () => {
    const opened = await open();
    await opened.click('[data-kind=library]');
    await opened.page.fill('#query', 'libc.so');
    expect((await opened.press('Enter')).hidden).toEqual([]);
    expect(opened.problems).toEqual([]);
  });
});

describe('light and dark', () => {
  it_('follow the system, and a button', async () => {
    const light = await open({ colorScheme: 'light' });
    const dark = await open({ colorScheme: 'dark' });
    expect([(await light.state()).theme, (await dark.state()).theme]).toEqual(['light', 'dark']);
    const grounds = [await groundOf(light), await groundOf(dark)];
    expect(new Set(grounds).size).toBe(2);
    expect(await light.picture()).not.toBe(await dark.picture());
    expect((await light.click('#theme')).theme).toBe('dark');
    expect(await groundOf(light)).toBe(grounds[1]);
    expect(await light.picture()).toBe(await dark.picture());
    expect((await light.press('t')).theme).toBe('light');
    // The system changes while the page is open.
    await dark.page.emulateMedia({ colorScheme: 'light' });
    // The page hears of it a moment later.
    let { theme } = await dark.state();
    for (let look = 0; look < 200 && theme !== 'light'; look++) ({ theme } = await dark.state());
    expect(theme).toBe('light');
    expect([...light.problems, ...dark.problems]).toEqual([]);
  });

  it_('paper is light', async () => {
    const dark = await open({ colorScheme: 'dark' });
    await dark.state();
    await dark.page.evaluate('dispatchEvent(new Event("beforeprint"))');
    expect((await dark.state()).theme).toBe('light');
    await dark.page.emulateMedia({ media: 'print' });
    expect(await dark.page.isVisible('#search')).toBe(false);
    await dark.page.emulateMedia({ media: 'screen' });
    await dark.page.evaluate('dispatchEvent(new Event("afterprint"))');
    expect((await dark.state()).theme).toBe('dark');
    expect((await dark.page.pdf()).subarray(0, 5).toString()).toBe('%PDF-');
    expect(dark.problems).toEqual([]);
  });
});

describe('the tables', () => {
  it_('say by owner what the map shows', async () => {
    const opened = await open();
    expect(await opened.page.locator('#owners tbody tr').count()).toBe(
      Object.keys((await opened.state()).lanes).length,
    );
    expect(await opened.text('#owners')).toMatch(
      /V8 cage\s+V8 keeps this reserved for its heap; it is not free/,
    );
    expect(await opened.text('#owners')).toMatch(/V8 heap.*1 of them guessed/s);
    expect(opened.problems).toEqual([]);
  });

  it_('list every region, sorted as one likes, and jump', async () => {
    const opened = await open();
    await opened.click('#regions-details summary');
    const first = () => opened.text('#regions tbody tr:first-child');
    expect(await opened.page.locator('#regions tbody tr').count()).toBe(12);
    expect(await first()).toMatch(/^0x400000/);
    await opened.click('#regions th:nth-child(3) button');
    expect(await first()).toMatch(/8 GiB/);
    expect(await opened.page.getAttribute('#regions th:nth-child(3)', 'aria-sort')).toBe(
      'descending',
    );
    // The heading was made anew and has the focus still.
    await opened.press('Enter');
    expect(await first()).toMatch(/4 KiB/);
    await opened.click('#regions tbody tr:last-child button');
    expect((await opened.state()).selected?.kind).toBe('v8-cage');
    expect(opened.problems).toEqual([]);
  });
});

describe('the keyboard and readers of the screen', () => {
  it_('reach everything, and see where they are', async () => {
    const opened = await open();
    await opened.state();
    const seen = new Set<string>();
    for (let step = 0; step < 70; step++) {
      await opened.page.keyboard.press('Tab');
      seen.add(
        await opened.page.evaluate(
          '(document.activeElement.id || document.activeElement.className || document.activeElement.tagName)',
        ),
      );
    }
    const wanted = ['query', 'theme', 'help', 'folded', 'linear', 'zoom-in', 'stage', 'colouring'];
    expect([...seen]).toEqual(expect.arrayContaining([...wanted, 'toggle', 'biggest-by', 'skip']));
    await opened.page.focus('#stage');
    await opened.press('Shift+Tab', 'Tab');
    const outline: string = await opened.page.evaluate(
      'getComputedStyle(document.querySelector("#stage")).outlineWidth',
    );
    expect(outline).toBe('3px');
    expect(opened.problems).toEqual([]);
  });

  it_('find names for every control', async () => {
    const opened = await open();
    await opened.state();
    const nameless: string[] = await opened.page.evaluate(`
      [...document.querySelectorAll('button, input, select, [role=application], section')]
        .filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') ||
          one.hidden || one.getAttribute('aria-labelledby') || (one.labels && one.labels.length)))
        .map((one) => one.outerHTML)`);
    expect(nameless).toEqual([]);
    expect(await opened.page.getAttribute('#detail', 'aria-live')).toBe('polite');
    await opened.press('?');
    expect(await opened.text('#help-box')).toMatch(/search by address/);
    await opened.press('Escape');
    expect(await opened.page.isVisible('#help-box')).toBe(false);
    expect(opened.problems).toEqual([]);
  });
});

describe('a narrow screen', () => {
  it_('shows the map, and needs no scrolling sideways', async () => {
    const opened = await open({ width: 400, height: 800 });
    expect((await opened.state()).drawn).toBeGreaterThan(8);
    const [inner, outer]: [number, number] = await opened.page.evaluate(
      '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
    );
    expect(inner).toBeLessThanOrEqual(outer);
    const before = await opened.picture();
    await opened.page.setViewportSize({ width: 900, height: 800 });
    await opened.page.waitForFunction(isWide);
    expect(await opened.picture()).not.toBe(before);
    expect(opened.problems).toEqual([]);
  });
});

const isWide = (): boolean => {
  const { document } = globalThis as unknown as {
    document: { querySelector(selector: string): { width: number } };
  };
  return document.querySelector('#canvas').width > 400;
};

describe('a name that wants to be code', () => {
  const evil = [
    '</script><script>window.hit=1</script>',
    '<img src=x onerror="window.hit=1">',
    '"><svg onload=window.hit=1>',
    '<!--<script>',
    "'); window.hit=1; ('",
    '\u2028window.hit=1\u2029',
    '$& $1 $` "%DATA%" /*SCRIPT*/',
    '../../пример/例え/🦉',
  ];
  const data = pageData(
    evil.map((path, at) =>
      region(2 ** 40 + at * 16 * PAGE, PAGE * 8, { kind: 'file', path, label: path }),
    ),
    { title: evil.join(' '), command: evil.join(' ') },
  );

  it('is written so that it stays text', () => {
    const page = renderBuilt(data);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    expect(page).not.toMatch(/[\u2028\u2029]/);
    expect(dataIn(page)).toEqual(data);
  });

  it_('is shown as it is', async () => {
    const opened = await browser.open(data);
    await opened.click('#regions-details summary');
    for (const path of evil) {
      await opened.press('n');
      // innerText has its own idea of white space.
      const heading: string = await opened.page.evaluate(
        'document.querySelector("#detail h2").textContent.trim()',
      );
      expect(heading).toBe(path.trim());
    }
    await opened.page.fill('#query', 'window');
    await opened.press('Enter');
    const { x, y, width } = (await opened.page.locator('#canvas').boundingBox())!;
    await opened.page.mouse.move(x + width / 2, y + 75);
    expect(await opened.page.evaluate('window.hit')).toBeUndefined();
    expect(await opened.page.evaluate('document.title')).toBe(`${data.title} - memmap`);
    expect(opened.problems).toEqual([]);
  });

  it_('could not run or load anything even if it got in', async () => {
    const opened = await open();
    await opened.state();
    const failed = opened.page.waitForEvent('requestfailed');
    await opened.page.evaluate(`{
      const script = document.createElement('script');
      script.textContent = 'window.hit = 1';
      document.body.append(script);
      const image = document.createElement('img');
      image.src = 'http://127.0.0.1:9/x.png';
      document.body.append(image);
    }`);
    expect((await failed).failure()?.errorText).toBe('csp');
    expect(await opened.page.evaluate('window.hit')).toBeUndefined();
    const said = opened.problems.filter((problem) => problem.includes('Content Security Policy'));
    expect(said).toHaveLength(2);
  });
});
