"""The explorer: the page in which people look at a node, served by its HTTP door (`node/api/explorer.py`).

Plain files that the browser runs as they are: no build step, nothing loaded from elsewhere. `main.js` chooses
the page by the address's fragment, `live.js` watches the node, `pages/` holds one file a page. `document.js`
is the only way into the document and makes text nodes, so that whatever stands on the ledger stays text.
`bundle.js` checks proofs in the browser with the steps of `node/anchoring/bundles/verification.py`; the tests
hold both to the same vectors.
"""
