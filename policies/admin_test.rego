package hub.admin_test

import data.hub.admin

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "cli", "role": "operator", "organisation": "hub", "scopes": []},
	"action": "partner_add",
}

cases := {
	"the operator": {"question": asked, "reasons": []},
	"the steward": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/role", "value": "steward"}]),
		"reasons": ["role_may_not"],
	},
	"an unlisted action": {
		"question": json.patch(asked, [{"op": "add", "path": "/action", "value": "read_rows"}]),
		"reasons": ["action_unknown"],
	},
	"nothing": {"question": {}, "reasons": ["action_unknown"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := admin.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
