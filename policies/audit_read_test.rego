package hub.audit_read_test

import data.hub.audit_read

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {"actor": {"id": "d", "role": "dpo", "organisation": "region", "scopes": []}}

cases := {
	"the data-protection officer": {"question": asked, "reasons": []},
	"an auditor": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/role", "value": "auditor"}]),
		"reasons": [],
	},
	"the operator": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/role", "value": "operator"}]),
		"reasons": ["role_may_not_read_events"],
	},
	"nothing": {"question": {}, "reasons": ["role_may_not_read_events"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := audit_read.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
