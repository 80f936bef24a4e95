package hub.agreement_test

import data.hub.agreement

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "transdev-1", "role": "partner", "organisation": "transdev", "scopes": ["push"]},
	"action": "sign",
	"partner": "transdev",
	"side": "partner",
}

cases := {
	"one's own side": {"question": asked, "reasons": []},
	"the other side": {
		"question": json.patch(asked, [{"op": "add", "path": "/side", "value": "hub"}]),
		"reasons": ["not_own_side"],
	},
	"another's": {
		"question": json.patch(asked, [{"op": "add", "path": "/partner", "value": "orange"}]),
		"reasons": ["not_own_side"],
	},
	"nothing": {"question": {}, "reasons": ["action_unknown", "partner_missing"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := agreement.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
