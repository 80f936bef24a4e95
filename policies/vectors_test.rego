package hub.vectors_test

# The vectors that the embedded engine answers too: both engines must give the same decision.

test_admin[name] if {
	some name, vector in data.vectors.admin
	data.hub.admin.decision == vector.expected with input as vector.question
}

test_agreement[name] if {
	some name, vector in data.vectors.agreement
	data.hub.agreement.decision == vector.expected with input as vector.question
}

test_audit_read[name] if {
	some name, vector in data.vectors.audit_read
	data.hub.audit_read.decision == vector.expected with input as vector.question
}

test_client[name] if {
	some name, vector in data.vectors.client
	data.hub.client.decision == vector.expected with input as vector.question
}

test_consent[name] if {
	some name, vector in data.vectors.consent
	data.hub.consent.decision == vector.expected with input as vector.question
}

test_push[name] if {
	some name, vector in data.vectors.push
	data.hub.push.decision == vector.expected with input as vector.question
}

test_push_read[name] if {
	some name, vector in data.vectors.push_read
	data.hub.push_read.decision == vector.expected with input as vector.question
}

test_release_publish[name] if {
	some name, vector in data.vectors.release_publish
	data.hub.release_publish.decision == vector.expected with input as vector.question
}

test_release_read[name] if {
	some name, vector in data.vectors.release_read
	data.hub.release_read.decision == vector.expected with input as vector.question
}

test_request[name] if {
	some name, vector in data.vectors.request
	data.hub.request.decision == vector.expected with input as vector.question
}

test_rights[name] if {
	some name, vector in data.vectors.rights
	data.hub.rights.decision == vector.expected with input as vector.question
}

test_withdraw[name] if {
	some name, vector in data.vectors.withdraw
	data.hub.withdraw.decision == vector.expected with input as vector.question
}
