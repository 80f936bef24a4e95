package hub.push_read_test

import data.hub.push_read

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "c-1", "role": "partner", "organisation": "coachco2", "scopes": ["push"]},
	"push": {"partner": "coachco2"},
}

cases := {
	"the sender": {"question": asked, "reasons": []},
	"another partner": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/organisation", "value": "orange"}]),
		"reasons": ["not_entitled"],
	},
	"the operator": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/actor/role", "value": "operator"},
			{"op": "add", "path": "/actor/organisation", "value": "hub"},
		]),
		"reasons": [],
	},
	"nothing": {"question": {}, "reasons": ["not_entitled"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := push_read.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
