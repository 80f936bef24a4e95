package hub.rights_test

import data.hub.rights

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "c-1", "role": "partner", "organisation": "coachco2", "scopes": ["consent"]},
	"action": "reference_link",
	"partner": "coachco2",
}

cases := {
	"the partner itself": {"question": asked, "reasons": []},
	"another's reference": {
		"question": json.patch(asked, [{"op": "add", "path": "/partner", "value": "transdev"}]),
		"reasons": ["not_own_organisation"],
	},
	"rows, by a partner": {
		"question": json.patch(asked, [{"op": "add", "path": "/action", "value": "rows_show"}]),
		"reasons": ["role_may_not"],
	},
	"a case, by a school": {
		"question": {"actor": {"role": "school"}, "action": "case_open"},
		"reasons": ["role_may_not"],
	},
	"a sealed proof, by the operator": {
		"question": {"actor": {"role": "operator"}, "action": "proof_open"},
		"reasons": ["role_may_not"],
	},
	"nothing": {"question": {}, "reasons": ["action_unknown"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := rights.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
