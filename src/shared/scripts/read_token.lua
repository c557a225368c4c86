-- KEYS[1]: the token record.
local record = redis.call('HMGET', KEYS[1], 'version', 'generation', 'token')
if not record[1] then return {'none'} end
return {'token', tonumber(record[1]), tonumber(record[2]), record[3]}
