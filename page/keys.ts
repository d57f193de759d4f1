// The keyboard: everything the pointer can do, without one.

import { byId, element } from './dom.js';

export interface Actions {
  zoomBy(factor: number): void;
  pan(share: number): void;
  whole(): void;
  next(direction: 1 | -1): void;
  zoomToSelected(): void;
  switchScale(): void;
  search(): void;
  play(): void;
  theme(): void;
  escape(): void;
  help(): void;
}

const KEYS: readonly [string, string][] = [
  ['← →', 'pan; with Shift by a whole view'],
  ['+ −', 'zoom in and out; so does the wheel'],
  ['0', 'show everything'],
  ['N P, or ] [', 'next and previous region'],
  ['Enter, Z', 'zoom to what is selected'],
  ['F', 'gaps folded, or true scale'],
  ['/', 'search by address, path or owner'],
  ['Space', 'play and pause, where there is a record of calls'],
  ['T', 'light or dark'],
  ['Esc', 'select nothing, close'],
  ['?', 'this help'],
];

export function fillHelp(): void {
  byId('keys').replaceChildren(
    ...KEYS.flatMap(([key, says]) => [element('dt', {}, key), element('dd', {}, says)]),
  );
}

function actionOf(event: KeyboardEvent, actions: Actions): (() => void) | undefined {
  const share = event.shiftKey ? 0.9 : 0.2;
  switch (event.key) {
    case 'ArrowLeft':
      return () => actions.pan(-share);
    case 'ArrowRight':
      return () => actions.pan(share);
    case '+':
    case '=':
      return () => actions.zoomBy(2);
    case '-':
    case '_':
      return () => actions.zoomBy(0.5);
    case '0':
    case 'Home':
      return () => actions.whole();
    case 'n':
    case ']':
      return () => actions.next(1);
    case 'p':
    case '[':
      return () => actions.next(-1);
    case 'z':
    case 'Enter':
      return () => actions.zoomToSelected();
    case 'f':
      return () => actions.switchScale();
    case '/':
      return () => actions.search();
    case ' ':
      return () => actions.play();
    case 't':
      return () => actions.theme();
    case 'Escape':
      return () => actions.escape();
    case '?':
      return () => actions.help();
    default:
      return undefined;
  }
}

/** Keys that a control has a use for itself stay its own. */
function belongsToControl({ target, key }: KeyboardEvent): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest('dialog')) return true;
  if (target.matches('input[type=search]')) return true;
  if (target.matches('input, select')) return key !== 'Escape' && key !== '/';
  return target.matches('button, summary, a') && (key === ' ' || key === 'Enter');
}

export function listenToKeys(actions: Actions): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || belongsToControl(event)) return;
    const action = actionOf(event, actions);
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}
