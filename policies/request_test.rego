package hub.request_test

import data.hub.request

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "user-2", "role": "steward", "organisation": "region", "scopes": []},
	"action": "approve",
	"request": {
		"organisation": "orleans",
		"role": "collectivity",
		"purpose": "evaluation",
		"territory": "45",
		"granularity": "department",
		"recipients": ["orleans"],
		"partners": ["coachco2"],
		"days": 90,
	},
	"release": {"open": false, "embargo_until": null, "protections_asked": ["estimates", "open"]},
	"now": 1790000000,
}

cases := {
	"another organisation's": {"question": asked, "reasons": []},
	"one's own organisation's": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/organisation", "value": "orleans"}]),
		"reasons": ["own_request"],
	},
	"what one's own organisation would be given": {
		"question": json.patch(asked, [{"op": "add", "path": "/request/recipients", "value": ["region"]}]),
		"reasons": ["own_request"],
	},
	"a veto by a steward": {
		"question": json.patch(asked, [{"op": "add", "path": "/action", "value": "veto"}]),
		"reasons": ["role_may_not"],
	},
	"of a protection nobody knows": {
		"question": json.patch(asked, [{"op": "add", "path": "/release/protections_asked", "value": ["secret"]}]),
		"reasons": ["protection_unknown"],
	},
	"for longer than a year": {
		"question": json.patch(asked, [{"op": "add", "path": "/request/days", "value": 400}]),
		"reasons": ["duration_out_of_bounds"],
	},
	"nothing": {"question": {}, "reasons": ["action_unknown", "asker_missing"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := request.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
