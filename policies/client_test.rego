package hub.client_test

import data.hub.client

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "user-1", "role": "partner", "organisation": "transdev", "scopes": []},
	"action": "rotate",
	"organisation": "transdev",
	"person": true,
}

cases := {
	"the partner's own person": {"question": asked, "reasons": []},
	"another's client": {
		"question": json.patch(asked, [{"op": "add", "path": "/organisation", "value": "orange"}]),
		"reasons": ["not_own_client"],
	},
	"the client itself": {
		"question": json.patch(asked, [{"op": "add", "path": "/person", "value": false}]),
		"reasons": ["person_needed"],
	},
	"nothing": {
		"question": {},
		"reasons": ["action_unknown", "not_own_client", "organisation_missing", "person_needed"],
	},
}

test_cases[name] if {
	some name, wanted in cases
	made := client.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
