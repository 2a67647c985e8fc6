/** The page's style, light or dark as the reader's system. Okabe and Ito's colours, which colour-blind people distinguish. */
export const STYLE = `
:root { --text: #1d2125; --faint: #5c6570; --page: #f5f6f8; --card: #fff; --line: #dfe3e8; --before: #c3cad2; --now: #0072b2; --up: #d55e00; --bad: #b3261e; --good: #00704f; --accent: #0072b2; --soft: #e8f2f9 }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --faint: #9aa5b1; --page: #14171a; --card: #1d2125; --line: #343b43; --before: #505a65; --now: #56b4e9; --up: #ff8f3f; --bad: #ff8a80; --good: #4cc9a0; --accent: #56b4e9; --soft: #17303f } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 66rem; padding: 2rem 1.25rem 3rem; color: var(--text); background: var(--page) }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 0 0 .5rem } h3 { font-size: .95rem; margin: .8rem 0 .3rem } p { margin: .3rem 0 }
.lead { font-size: 1.05rem; color: var(--faint); margin-bottom: 1rem; overflow-wrap: anywhere } .faint { color: var(--faint) }
.badges { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 } .badge { font-size: 13px; font-weight: 600; padding: .1rem .65rem; border-radius: 1rem; border: 1.5px solid var(--line); color: var(--faint) }
.phase { background: var(--accent); border-color: var(--accent); color: var(--card) } .ended-badly { color: var(--bad); border-color: currentColor } .ended-well { color: var(--good); border-color: currentColor }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; margin: 1rem 0 }
dl.card { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .7rem 1.5rem } dt { font-size: 13px; color: var(--faint) } dd { margin: 0; overflow-wrap: anywhere }
code { font: 13.5px ui-monospace, monospace; background: var(--page); border: 1px solid var(--line); border-radius: .3rem; padding: .05rem .35rem; overflow-wrap: anywhere }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: .5rem; margin: 0; padding: 0; list-style: none } .sheet figure { margin: 0 } .sheet img { width: 100%; aspect-ratio: 1; object-fit: cover; background: var(--page); border: 1px solid var(--line); border-radius: .3rem; image-rendering: pixelated; font-size: 11px } .sheet figcaption { font-size: 11px; color: var(--faint); line-height: 1.3; overflow-wrap: anywhere }
svg { width: 100%; max-width: 40rem; height: auto; display: block } svg text { font: 12px system-ui, sans-serif; fill: var(--text) } svg text.faint { fill: var(--faint) }
.plot { fill: none; stroke: var(--line) } .slice-line { fill: none; stroke: var(--up); stroke-width: 2 } .base-line { fill: none; stroke: var(--now); stroke-width: 2; stroke-dasharray: 5 3 } .slice-dot { fill: var(--up) } .base-dot { fill: var(--now) } .chosen { stroke: var(--text); stroke-dasharray: 2 3 }
table { border-collapse: collapse; width: 100%; font-size: 14px } td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid var(--line) } th { color: var(--faint); font-weight: 600 } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere } tr.chosen-row td { font-weight: 600; background: var(--soft) } .gain { color: var(--good) } .loss { color: var(--bad) } summary { cursor: pointer; padding: .4rem .6rem; color: var(--accent) }
a { color: var(--accent) }
.notes { color: var(--faint); font-size: 14px; margin-top: 2rem }
@media print { body { background: none } .card { break-inside: avoid } }
`;
