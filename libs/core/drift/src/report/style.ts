/** The page's style, light or dark as the reader's system. Okabe and Ito's colours, which colour-blind people distinguish. */
export const STYLE = `
:root { --text: #1d2125; --faint: #5c6570; --page: #f5f6f8; --card: #fff; --line: #dfe3e8; --up: #d55e00; --down: #0072b2; --before: #c3cad2; --now: #0072b2; --bad: #b3261e; --good: #00704f; --accent: #0072b2; --soft: #e8f2f9 }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --faint: #9aa5b1; --page: #14171a; --card: #1d2125; --line: #343b43; --up: #ff8f3f; --down: #56b4e9; --before: #505a65; --now: #56b4e9; --bad: #ff8a80; --good: #4cc9a0; --accent: #56b4e9; --soft: #17303f } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 66rem; padding: 2rem 1.25rem 3rem; color: var(--text); background: var(--page) }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 0 0 .5rem } p { margin: .3rem 0 }
.lead { font-size: 1.05rem; color: var(--faint); margin-bottom: 1rem } .faint { color: var(--faint) }
.badges { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 } .badge { font-size: 13px; font-weight: 600; padding: .1rem .65rem; border-radius: 1rem; border: 1.5px solid var(--line); color: var(--faint) }
.cause { background: var(--accent); border-color: var(--accent); color: var(--card) } .open { color: var(--up); border-color: currentColor } .closed { color: var(--good); border-color: currentColor } .lost-badge { color: var(--bad); border-color: currentColor }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; margin: 1rem 0 }
dl.card { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .7rem 1.5rem } dt { font-size: 13px; color: var(--faint) } dd { margin: 0; overflow-wrap: anywhere }
.advice { border-left: 5px solid var(--accent); background: var(--soft) } .advice ul { margin: 0; padding-left: 1.2rem } code { font: 13.5px ui-monospace, monospace; background: var(--card); border: 1px solid var(--line); border-radius: .3rem; padding: .05rem .35rem; overflow-wrap: anywhere }
.tree { list-style: none; margin: 0; padding: 0 } .tree li { position: relative; padding: 0 0 1rem 1.9rem } .tree li::before { content: ""; position: absolute; left: .35rem; top: .4rem; width: .7rem; height: .7rem; border-radius: 50%; border: 2px solid var(--faint); background: var(--card) }
.tree li:not(:last-child)::after { content: ""; position: absolute; left: .78rem; top: 1.4rem; bottom: -.2rem; border-left: 2px solid var(--line) } .question { font-weight: 600 }
.tree li.decides::before { background: var(--accent); border-color: var(--accent) } .decides { background: var(--soft); border-radius: .4rem } .decided { color: var(--accent); font-weight: 600 } .tree li.decides { padding: .1rem .6rem .5rem 1.9rem; margin-bottom: .8rem }
svg { width: 100%; height: auto; display: block } svg text { font: 12px system-ui, sans-serif; fill: var(--text) } svg text.faint { fill: var(--faint) } svg text.strong { font-weight: 600 }
.plot { fill: none; stroke: var(--line) } .axis { stroke: var(--faint) } .up, .down { shape-rendering: crispEdges } .up { fill: var(--up) } .down { fill: var(--down) } .onset { stroke: var(--text); stroke-dasharray: 4 3 } svg text.onset-text { font-style: italic } .mark { stroke: var(--faint); stroke-width: 2 }
.before { fill: var(--before) } .now { fill: var(--now) } .lost { fill: var(--bad) } .now-area { fill: var(--now); fill-opacity: .15 } .now-line { fill: none; stroke: var(--now); stroke-width: 1.8 }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.2rem 1.6rem } figure { margin: 0; display: flex; flex-direction: column; justify-content: space-between } figcaption { margin-bottom: .3rem }
.key { display: inline-block; width: .9rem; height: .7rem; border-radius: .15rem; margin: 0 .15rem 0 .5rem } .before-key { background: var(--before) } .now-key { background: var(--now) }
table { border-collapse: collapse; width: 100%; font-size: 14px } td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid var(--line) } th { color: var(--faint); font-weight: 600 } td { font-variant-numeric: tabular-nums } summary { cursor: pointer; padding: .4rem .6rem; color: var(--accent) }
.notes { color: var(--faint); font-size: 14px; margin-top: 2rem }
@media print { body { background: none } .card { break-inside: avoid } }
`;
