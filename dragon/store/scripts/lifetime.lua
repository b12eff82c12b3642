-- lifetime: success or error -> the same, kept for a longer or a shorter time
--
-- ARGV[2]  account
-- ARGV[3]  days, 0 for ever
-- ARGV[4]  when that was asked for, µs: the last to ask decides
-- ARGV[5]  the entry of the index after which to go on, '' to begin
-- ARGV[6]  how many entries at most
-- Returns  the entry after which to go on, '' when all are done
-- Tells    servers, when all are done: whatever they remember

local account, index, set = ARGV[2], base .. 'stored:' .. ARGV[2], ARGV[2] .. ' set'
if tonumber(ARGV[4]) >= (tonumber(redis.call('HGET', base .. 'lifetime', set)) or 0) then
  redis.call('HSET', base .. 'lifetime', account, ARGV[3], set, ARGV[4])
end
local from = ARGV[5] == '' and '-' or '(' .. ARGV[5]
local entries, last = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, ARGV[6]), nil
for _, found in ipairs(entries) do
  local key = string.match(found, '^[^/]*/([^/]*)/')
  if key ~= last then reckon(key) end
  last = key
end
deliver()
if #entries == tonumber(ARGV[6]) then return entries[#entries] end
redis.call('PUBLISH', channels .. 'outdated', '')
return ''
