/**
 * Keeps an open page up to date: it asks for the page again, and takes over each section that differs. What it gets is
 * parsed without being run, and nothing is made of text, so all that is shown is what the agent has escaped.
 */
export const SCRIPT = `
'use strict';
(() => {
  const foot = document.querySelector('footer');
  const say = (text, isStale) => {
    foot.textContent = text;
    document.documentElement.className = isStale ? 'stale' : '';
  };
  const look = async () => {
    if (document.hidden || !getSelection().isCollapsed) return true;
    const answer = await fetch(location.pathname, { cache: 'no-store', signal: AbortSignal.timeout(15000) });
    if (!answer.ok) {
      say('The agent answers ' + answer.status + ' now, and what is shown is old. Load the page again.', true);
      return answer.status >= 500;
    }
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const now of document.querySelectorAll('section')) {
      const then = next.getElementById(now.id);
      if (then === null || now.isEqualNode(then)) continue;
      now.className = then.className;
      now.hidden = then.hidden;
      now.replaceChildren(...document.adoptNode(then).childNodes);
    }
    document.title = next.title;
    say('This page keeps itself up to date, and stands still while text in it is selected. Times are in UTC.', false);
    return true;
  };
  const again = async () => {
    const goesOn = await look().catch(() => {
      say('The agent does not answer, and what is shown is old.', true);
      return true;
    });
    if (goesOn) setTimeout(again, document.querySelector('progress') === null ? 3000 : 1000);
  };
  again();
})();
`;
