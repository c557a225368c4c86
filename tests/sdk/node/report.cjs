// Calls the vendor's npm SDK as its README shows, with only the base path changed.
// stdin: [{"id": ..., "no_clicks": true|false|null}]; stdout: what came of each, in order.
const path = require("node:path");
const { readFileSync } = require("node:fs");
const { Configuration, EmailReportingApi } = require(path.join(process.env.SDK_NODE_MODULES, "ctct-api-client"));

const api = new EmailReportingApi(new Configuration({ basePath: `${process.env.PROXY_URL}/v3` }));

async function outcome({ id, no_clicks }) {
  try {
    const { data } = await api.getCampaignActivityLinkReport(id, no_clicks ?? undefined);
    return { report: data };
  } catch (error) {
    return { status: error.response?.status, message: error.message, body: error.response?.data };
  }
}

(async () => {
  const outcomes = [];
  for (const call of JSON.parse(readFileSync(0, "utf8"))) outcomes.push(await outcome(call));
  console.log(JSON.stringify(outcomes));
})();
