"""Calls the vendor's PyPI SDK as its README shows, with only the host changed.

stdin: [{"id": ..., "no_clicks": true|false|null}]; stdout: what came of each, in order.
"""

import json
import os
import sys

import constant_contact_api_client as vendor
from constant_contact_api_client.models import GetCampaignActivityLinkReport200Response as Report

configuration = vendor.Configuration(host=os.environ["PROXY_URL"] + "/v3")


def outcome(api, call):
    arguments = {} if call["no_clicks"] is None else {"no_clicks": call["no_clicks"]}
    try:
        report = api.get_campaign_activity_link_report(call["id"], **arguments)
    except vendor.ApiException as error:
        return {"status": error.status, "message": str(error), "body": json.loads(error.body)}
    assert isinstance(report, Report), type(report)
    return {"report": report.to_dict()}


with vendor.ApiClient(configuration) as client:
    reporting = vendor.EmailReportingApi(client)
    print(json.dumps([outcome(reporting, call) for call in json.load(sys.stdin)]))
