package hub.consent_test

import data.hub.consent

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {
	"actor": {"id": "c-1", "role": "partner", "organisation": "coachco2", "scopes": ["consent"]},
	"partner": "coachco2",
	"purpose": "school-mobility",
	"purpose_known": true,
	"agreement": {"basis": "consent", "purpose": "school-mobility"},
}

cases := {
	"the partner that asked": {"question": asked, "reasons": []},
	"a school": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor/role", "value": "school"}]),
		"reasons": ["not_own_organisation", "role_may_not_collect"],
	},
	"an unlisted purpose": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/purpose", "value": "sale"},
			{"op": "add", "path": "/purpose_known", "value": false},
		]),
		"reasons": ["agreement_missing", "purpose_unknown"],
	},
	"whoever was asked again": {
		"question": json.patch(asked, [
			{"op": "add", "path": "/actor", "value": {"role": "person"}},
			{"op": "add", "path": "/again", "value": true},
		]),
		"reasons": [],
	},
	"a person nobody asked": {
		"question": json.patch(asked, [{"op": "add", "path": "/actor", "value": {"role": "person"}}]),
		"reasons": ["not_own_organisation", "role_may_not_collect", "scope_missing"],
	},
	"a consent without effect": {
		"question": json.patch(asked, [{"op": "add", "path": "/agreement/basis", "value": "public_task"}]),
		"reasons": ["basis_is_not_consent"],
	},
	"nothing": {
		"question": {},
		"reasons": [
			"agreement_missing",
			"not_own_organisation",
			"purpose_unknown",
			"role_may_not_collect",
			"scope_missing",
		],
	},
}

test_cases[name] if {
	some name, wanted in cases
	made := consent.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
