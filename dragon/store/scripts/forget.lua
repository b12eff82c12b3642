-- forget: success or error -> nothing, once the files are deleted
--
-- ARGV[2]… keys
-- Returns  nothing
-- Tells    nobody

-- Takes the files out of the index. Returns whether any were in it.
local function remove_files(account, files)
  local is_any = false
  for _, file in ipairs(cjson.decode(files)) do
    is_any = remove_file(account, string.sub(file.path, #account + 2)) ~= nil or is_any
  end
  return is_any
end

local function forget(key)
  local job = base .. 'job:' .. key
  local is = redis.call('HMGET', job, 'reuse', 'account', 'parent', 'files')
  if is[1] and redis.call('GET', is[1]) == key then redis.call('DEL', is[1]) end
  if (is[4] or '[]') ~= '[]' and remove_files(is[2], is[4]) then count_storing(is[3], -1) end
  forget_hook(key)
  redis.call('DEL', job, base .. 'children:' .. key)
end

for index = 2, #ARGV do
  -- A delivery may have been queued once more meanwhile.
  if redis.call('ZREM', base .. 'expiry', ARGV[index]) == 1 then forget(ARGV[index]) end
end
deliver()
